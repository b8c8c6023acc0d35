/* SPDX-License-Identifier: GPL-2.0-or-later */

/* See layout.h. */

#include "tunnel/layout.h"

/* How a version is read: by a function, or as the beginning of the present record. */
typedef struct Reader {
        size_t size;
        void (*read)(const void *value, void *ret);
} Reader;

/* Every version that was ever written, by its number; 0: before there were numbers. Rows are added, and
 * never removed. */
static const Reader saved_readers[] = {
        [0] = { .size = 280 },
        [1] = { .size = 280 },
};
ASSERT_TABLE_COMPLETE(saved_readers, UNDERPASS_RECORD_VERSION + 1);

static const Reader saved_sctp_readers[] = {
        [0] = { .size = 16 },
        [1] = { .size = 24 },
};
ASSERT_TABLE_COMPLETE(saved_sctp_readers, UNDERPASS_RECORD_SCTP_VERSION + 1);

struct Layout {
        size_t version_offset, size;
        uint32_t version;
        const Reader *readers;
};

const Layout layout_saved = {
        .version_offset = offsetof(struct underpass_saved, version),
        .size = sizeof(struct underpass_saved),
        .version = UNDERPASS_RECORD_VERSION,
        .readers = saved_readers,
};

const Layout layout_saved_sctp = {
        .version_offset = offsetof(struct underpass_saved_sctp, version),
        .size = sizeof(struct underpass_saved_sctp),
        .version = UNDERPASS_RECORD_SCTP_VERSION,
        .readers = saved_sctp_readers,
};

size_t layout_size(const Layout *layout) {
        return layout->size;
}

uint32_t layout_version(const Layout *layout, const void *value, size_t size) {
        uint32_t version = 0;

        if (size >= layout->version_offset + sizeof(version))
                memcpy(&version, (const uint8_t *) value + layout->version_offset, sizeof(version));
        return version;
}

static void set_version(const Layout *layout, void *value, uint32_t version) {
        memcpy((uint8_t *) value + layout->version_offset, &version, sizeof(version));
}

int layout_read(const Layout *layout, const void *value, size_t size, void *ret) {
        const uint32_t version = layout_version(layout, value, size);
        const Reader *reader = &layout->readers[MIN_OF(version, layout->version)];

        if (size < reader->size)
                return -EBADMSG;
        memset(ret, 0, layout->size);
        if (reader->read)
                reader->read(value, ret);
        else
                memcpy(ret, value, reader->size);
        set_version(layout, ret, layout->version);
        return 0;
}

void layout_write(const Layout *layout, void *value, size_t size, const void *record) {
        const uint32_t version = layout_version(layout, value, size);

        memcpy(value, record, layout->size);
        set_version(layout, value, MAX_OF(version, layout->version));
}

bool layout_has_more(const Layout *layout, const void *value, size_t size) {
        const uint8_t *bytes = value;

        for (size_t i = layout->size; i < size; i++)
                if (bytes[i] != 0)
                        return true;
        return false;
}
