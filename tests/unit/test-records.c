/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Tests of records as bytes: those of older services, of this one, and of newer ones. May touch: nothing. */

#include "unit.h"

#include "tunnel/layout.h"

/* What every version ever was, its number being its place here. This is for ever: a new version is a new
 * row. */
static const size_t saved_sizes[] = { 280, 280 };
static const size_t saved_sctp_sizes[] = { 16, 24 };

ASSERT_TABLE_COMPLETE(saved_sizes, UNDERPASS_RECORD_VERSION + 1);
ASSERT_TABLE_COMPLETE(saved_sctp_sizes, UNDERPASS_RECORD_SCTP_VERSION + 1);

/* The first layout stays where it is. */
_Static_assert(offsetof(struct underpass_saved, slot) == 0, "layout");
_Static_assert(offsetof(struct underpass_saved, flags) == 4, "layout");
_Static_assert(offsetof(struct underpass_saved, mtu_original) == 8, "layout");
_Static_assert(offsetof(struct underpass_saved, mtu_set) == 12, "layout");
_Static_assert(offsetof(struct underpass_saved, endpoints_count) == 16, "layout");
_Static_assert(offsetof(struct underpass_saved, endpoints) == 20, "layout");
_Static_assert(offsetof(struct underpass_saved, version) == 276, "layout");
_Static_assert(offsetof(struct underpass_saved_sctp, ports) == 0, "layout");
_Static_assert(offsetof(struct underpass_saved_sctp, version) == 16, "layout");

enum { SIZE_MAX_HERE = 512, APPENDED = 12 };

/* A record of each field of the first version. */
static struct underpass_saved some_record(void) {
        struct underpass_saved saved = {
                .slot = 3,
                .flags = UNDERPASS_SAVED_CLSACT_CREATED | UNDERPASS_SAVED_RAW_IP,
                .mtu_original = 1500,
                .mtu_set = 1400,
                .endpoints_count = 2,
        };

        saved.endpoints[1][3] = 7;
        saved.endpoints[UNDERPASS_SAVED_ENDPOINTS_MAX - 1][3] = 9;
        return saved;
}

static void assert_is_some_record(const struct underpass_saved *read) {
        struct underpass_saved expected = some_record();

        expected.version = UNDERPASS_RECORD_VERSION;
        assert(memcmp(read, &expected, sizeof(expected)) == 0);
}

static void every_version_is_read(void) {
        const struct underpass_saved written = some_record();

        for (uint32_t version = 0; version < ELEMENTS(saved_sizes); version++) {
                uint8_t value[SIZE_MAX_HERE] = {};
                struct underpass_saved read, untouched = { .slot = 99 };

                memcpy(value, &written, sizeof(written));
                memcpy(value + offsetof(struct underpass_saved, version), &version, sizeof(version));
                assert(layout_version(&layout_saved, value, saved_sizes[version]) == version);
                assert(layout_read(&layout_saved, value, saved_sizes[version], &read) == 0);
                assert_is_some_record(&read);
                assert(layout_read(&layout_saved, value, saved_sizes[version] - 1, &untouched) == -EBADMSG);
                assert(untouched.slot == 99);
        }
}

static void every_version_of_sctp_is_read(void) {
        struct underpass_saved_sctp written = { .ports = { { 1, 2, 3, 0 }, { 1, 5, 6, 0 } } };

        for (uint32_t version = 0; version < ELEMENTS(saved_sctp_sizes); version++) {
                const size_t size = saved_sctp_sizes[version];
                uint8_t value[SIZE_MAX_HERE] = {};
                struct underpass_saved_sctp read;

                written.version = version;
                memcpy(value, &written, size);
                assert(layout_read(&layout_saved_sctp, value, size, &read) == 0);
                assert(memcmp(read.ports, written.ports, sizeof(read.ports)) == 0);
                assert(read.version == UNDERPASS_RECORD_SCTP_VERSION);
                assert(layout_read(&layout_saved_sctp, value, size - 1, &read) == -EBADMSG);
        }
}

static void a_record_is_written_and_read(void) {
        const struct underpass_saved written = some_record();
        uint8_t value[SIZE_MAX_HERE] = {};
        const size_t size = layout_size(&layout_saved);
        struct underpass_saved read;

        layout_write(&layout_saved, value, size, &written);
        assert(layout_version(&layout_saved, value, size) == UNDERPASS_RECORD_VERSION);
        assert(!layout_has_more(&layout_saved, value, size));
        assert(layout_read(&layout_saved, value, size, &read) == 0);
        assert_is_some_record(&read);
}

static void what_a_newer_service_appended_stays(void) {
        const uint32_t newer = UNDERPASS_RECORD_VERSION + 1;
        struct underpass_saved saved = some_record();
        uint8_t value[SIZE_MAX_HERE] = {};
        const size_t size = layout_size(&layout_saved) + APPENDED;

        saved.version = newer;
        memcpy(value, &saved, sizeof(saved));
        assert(!layout_has_more(&layout_saved, value, size)); /* zeros say nothing */
        value[size - 1] = 5;
        assert(layout_has_more(&layout_saved, value, size));
        assert(layout_read(&layout_saved, value, size, &saved) == 0);
        assert_is_some_record(&saved);

        saved.mtu_set = 1300;
        layout_write(&layout_saved, value, size, &saved);
        assert(layout_version(&layout_saved, value, size) == newer && value[size - 1] == 5);
        assert(layout_read(&layout_saved, value, size, &saved) == 0);
        assert(saved.mtu_set == 1300);
}

static void what_is_too_short_is_not_read(void) {
        uint8_t value[SIZE_MAX_HERE] = {};
        struct underpass_saved saved;

        for (size_t size = 0; size < saved_sizes[0]; size++)
                assert(layout_read(&layout_saved, value, size, &saved) == -EBADMSG);
}

int main(void) {
        static const Test tests[] = {
                { "every version of a link's record is read", every_version_is_read },
                { "every version of the record of SCTP is read", every_version_of_sctp_is_read },
                { "a record is written and read", a_record_is_written_and_read },
                { "what a newer service appended stays", what_a_newer_service_appended_stays },
                { "what is too short is not read", what_is_too_short_is_not_read },
        };

        return run_tests(tests, ELEMENTS(tests));
}
