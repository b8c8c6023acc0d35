/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * See load.h. The verifier takes nearly all of the time, a few tens of milliseconds for each of the large
 * programs, and with CAP_BPF it takes no lock. So each part of the programs is an object of its own, on the
 * same maps, and all but the last part are loaded by threads, which do nothing else and are over when
 * load_programs() returns.
 */

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/message.h"
#include "bpf/underpass.skel.h"
#include "tunnel/layout.h"
#include "tunnel/load.h"

/* Of one program, up to 4 MB. Where there is no room for all of it, the kernel refuses a sound program, too.
 * No memory is taken before something is written there. */
enum { VERIFIER_LOG_SIZE = 16 * 1024 * 1024 };

/* Programs that are loaded one after the other. */
typedef enum PartId {
        PART_EGRESS,
        PART_INGRESS,
        PART_DEVICES,
        _PART_MAX,
} PartId;

static const PartId parts_of_programs[] = {
        [PROGRAM_EGRESS_ETHERNET] = PART_EGRESS,
        [PROGRAM_EGRESS_RAW] = PART_EGRESS,
        [PROGRAM_INGRESS_ETHERNET] = PART_INGRESS,
        [PROGRAM_INGRESS_RAW] = PART_INGRESS,
        [PROGRAM_SEGMENT] = PART_DEVICES,
        [PROGRAM_MERGED] = PART_DEVICES,
        [PROGRAM_XDP] = PART_DEVICES,
        [PROGRAM_KEEPALIVE] = PART_DEVICES,
};
ASSERT_TABLE_COMPLETE(parts_of_programs, _TUNNEL_PROGRAM_MAX);

typedef struct Part {
        PartId id;
        bool raw;
        const Tunnel *tunnel; /* whose maps it uses; nobody changes them meanwhile */
        struct underpass_bpf *skeleton;
        char *log;
        pthread_t thread;
        bool threaded;
        int result;
} Part;

uint64_t load_object_id(void) {
        size_t size = 0;
        const void *bytes = underpass_bpf__elf_bytes(&size);

        return hash_bytes(HASH_EMPTY, bytes, size);
}

bool load_is_for_raw(TunnelProgram program) {
        return program == PROGRAM_EGRESS_RAW || program == PROGRAM_INGRESS_RAW;
}

/* The last lines of the verifier's log say what it disliked. */
static const char *last_lines(const char *log) {
        const char *end = log + strlen(log);
        int lines = 0;

        while (end > log && lines < 4)
                if (*--end == '\n')
                        lines++;
        return *end == '\n' ? end + 1 : end;
}

static void destroy_skeleton(struct underpass_bpf **skeleton) {
        underpass_bpf__destroy(*skeleton);
}

static void part_end(Part *part) {
        underpass_bpf__destroy(TAKE_PTR(part->skeleton));
        if (part->log)
                (void) munmap(TAKE_PTR(part->log), VERIFIER_LOG_SIZE);
}

/* glibc gives each thread a heap of its own and keeps it; musl has one heap, and no such function. */
static void give_memory_back(void) {
#ifdef __GLIBC__
        (void) malloc_trim(0);
#endif
}

static void end_parts(Part (*parts)[_PART_MAX]) {
        for (PartId id = 0; id < _PART_MAX; id++)
                part_end(&(*parts)[id]);
        give_memory_back();
}

static bool belongs_to(TunnelProgram program, const Part *part) {
        return part && parts_of_programs[program] == part->id && load_is_for_raw(program) == part->raw;
}

/* Which programs an object is to load; part NULL: none. 0 or negative errno. */
static int choose_programs(struct bpf_object *object, const Part *part) {
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++) {
                struct bpf_program *program =
                        bpf_object__find_program_by_name(object, tunnel_program_name(i));
                int r = program ? bpf_program__set_autoload(program, belongs_to(i, part)) : -ENOENT;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* An object uses the map descriptors that are open already: flows and settings survive an upgrade. */
static int reuse_maps(const Tunnel *tunnel, struct bpf_object *object) {
        for (TunnelMap i = 0; i < _TUNNEL_MAP_MAX; i++) {
                struct bpf_map *map;
                int r;

                if (tunnel->maps[i] < 0)
                        continue;
                map = bpf_object__find_map_by_name(object, tunnel_map_name(i));
                r = bpf_map__reuse_fd(map, tunnel->maps[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Puts a duplicate of a descriptor in the place of another one. */
static int replace(int *fd, int by) {
        const int copy = fcntl(by, F_DUPFD_CLOEXEC, 3);

        if (copy < 0)
                return -errno;
        close_fd(*fd);
        *fd = copy;
        return 0;
}

static int make_secret(struct underpass_bpf *skeleton) {
        void *secret = &skeleton->rodata->note_secret;

        return getrandom(secret, sizeof(skeleton->rodata->note_secret), 0) < 0 ? -errno : 0;
}

/* The maps that are not there yet, and the constants, which all programs of a tunnel share. */
static int make_maps(Tunnel *tunnel) {
        _cleanup_(destroy_skeleton) struct underpass_bpf *skeleton = underpass_bpf__open();
        int r;

        if (!skeleton)
                return -errno;
        r = choose_programs(skeleton->obj, NULL);
        if (r == 0)
                r = reuse_maps(tunnel, skeleton->obj);
        if (r == 0)
                r = make_secret(skeleton);
        if (r == 0)
                r = underpass_bpf__load(skeleton);
        for (TunnelMap i = 0; r == 0 && i < _TUNNEL_MAP_MAX; i++)
                r = replace(&tunnel->maps[i],
                            bpf_object__find_map_fd_by_name(skeleton->obj, tunnel_map_name(i)));
        return r < 0 ? r : replace(&tunnel->constants, bpf_map__fd(skeleton->maps.rodata));
}

/* What a thread does. */
static int part_load(Part *part) {
        LIBBPF_OPTS(bpf_object_open_opts, options, .kernel_log_buf = part->log,
                    .kernel_log_size = VERIFIER_LOG_SIZE);
        int r;

        part->skeleton = underpass_bpf__open_opts(&options);
        if (!part->skeleton)
                return -errno;
        r = choose_programs(part->skeleton->obj, part);
        if (r == 0)
                r = reuse_maps(part->tunnel, part->skeleton->obj);
        if (r == 0)
                r = bpf_map__reuse_fd(part->skeleton->maps.rodata, part->tunnel->constants);
        return r < 0 ? r : underpass_bpf__load(part->skeleton);
}

static void *run_part(void *userdata) {
        Part *part = userdata;

        part->result = part_load(part);
        return NULL;
}

static bool has_programs(const Part *part) {
        for (TunnelProgram i = 0; i < _TUNNEL_PROGRAM_MAX; i++)
                if (belongs_to(i, part))
                        return true;
        return false;
}

/* Without a thread it takes longer, that is all. */
static void part_begin(Part *part) {
        part->threaded = pthread_create(&part->thread, NULL, run_part, part) == 0;
        if (!part->threaded)
                (void) run_part(part);
}

static void part_wait(Part *part) {
        if (part->threaded)
                (void) pthread_join(part->thread, NULL);
        part->threaded = false;
}

/* Returns when all parts are loaded, or have failed; the first error. */
static int load_parts(const Tunnel *tunnel, bool raw, Part parts[_PART_MAX]) {
        Part *last = NULL;
        void *log;

        for (PartId id = 0; id < _PART_MAX; id++) {
                parts[id] = (Part) { .id = id, .raw = raw, .tunnel = tunnel };
                /* Not by malloc(), which would keep blocks of that size from then on. */
                log = mmap(NULL, VERIFIER_LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                           0);
                if (log == MAP_FAILED)
                        return -ENOMEM;
                parts[id].log = log;
                if (has_programs(&parts[id]))
                        last = &parts[id];
        }
        for (PartId id = 0; id < _PART_MAX; id++)
                if (&parts[id] != last && has_programs(&parts[id]))
                        part_begin(&parts[id]);
        (void) run_part(last);
        for (PartId id = 0; id < _PART_MAX; id++)
                part_wait(&parts[id]);
        for (PartId id = 0; id < _PART_MAX; id++)
                if (parts[id].result < 0)
                        return parts[id].result;
        return 0;
}

static int take_programs(Tunnel *tunnel, const Part parts[_PART_MAX]) {
        int r = 0;

        for (TunnelProgram i = 0; r == 0 && i < _TUNNEL_PROGRAM_MAX; i++) {
                const Part *part = &parts[parts_of_programs[i]];

                if (belongs_to(i, part))
                        r = replace(&tunnel->programs[i],
                                    bpf_program__fd(bpf_object__find_program_by_name(
                                            part->skeleton->obj, tunnel_program_name(i))));
                else if (load_is_for_raw(i))
                        /* They never outlive the others: they have other constants. */
                        tunnel->programs[i] = close_fd(tunnel->programs[i]);
        }
        return r;
}

static void explain(Tunnel *tunnel, int error, const Part parts[_PART_MAX]) {
        const char *log = "";

        for (PartId id = _PART_MAX; id-- > 0;)
                if (parts[id].result < 0)
                        log = last_lines(parts[id].log);
        /* Where memory was missing, the verifier has nothing to say about it. */
        if (error != -ENOMEM && !streq(log, ""))
                tunnel_set_error(tunnel, N_("the verifier says: %s"), log);
}

int load_programs(Tunnel *tunnel, bool raw) {
        _cleanup_(end_parts) Part parts[_PART_MAX] = {};
        const bool kept = tunnel->maps[MAP_SAVED] >= 0;
        int r = 0;

        libbpf_set_print(NULL);
        if (!raw)
                r = make_maps(tunnel);
        if (r == 0)
                r = load_parts(tunnel, raw, parts);
        if (r < 0) {
                explain(tunnel, r, parts);
                return r;
        }
        r = take_programs(tunnel, parts);
        if (r < 0)
                return r;
        if (!kept)
                tunnel->saved_size = layout_size(&layout_saved);
        tunnel->loaded = true;
        return 0;
}
