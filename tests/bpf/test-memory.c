/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The memory of programs and maps is what the service says when there is not enough of it. The kernel tells
 * it of each descriptor; its maps for each CPU are summed up by their layouts.
 *
 * Room: libbpf by way of bench.h, and /proc.
 */

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* Of one descriptor, in bytes, for each CPU and in all; nothing where it is none of BPF. */
struct memory {
        unsigned long long shared, cpu;
};

static bool is_per_cpu(unsigned long long type) {
        return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH ||
               type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static bool add_descriptor(const char *name, unsigned cpus, struct memory *memory) {
        unsigned long long type = 0, value_size = 0, entries = 0, locked = 0, cpu = 0;
        char path[64], line[128];
        FILE *file;

        snprintf(path, sizeof(path), "/proc/self/fdinfo/%.20s", name);
        file = fopen(path, "re");
        if (!file)
                return true; /* the descriptor of the folder itself */
        while (fgets(line, sizeof(line), file)) {
                (void) sscanf(line, "map_type: %llu", &type);
                (void) sscanf(line, "value_size: %llu", &value_size);
                (void) sscanf(line, "max_entries: %llu", &entries);
                (void) sscanf(line, "memlock: %llu", &locked);
        }
        fclose(file);
        if (is_per_cpu(type))
                cpu = (value_size + 7) / 8 * 8 * entries;
        EXPECT(locked >= cpu * cpus);
        memory->cpu += cpu;
        memory->shared += locked - cpu * cpus;
        return true;
}

static bool enough(const struct bench *bench) {
        struct memory memory = {};
        struct dirent *entry;
        bool read = true;
        DIR *folder = opendir("/proc/self/fdinfo");

        EXPECT(folder);
        while (read && (entry = readdir(folder)))
                if (entry->d_name[0] != '.')
                        read = add_descriptor(entry->d_name, bench->cpus, &memory);
        closedir(folder);
        EXPECT(read);
        printf("%.1f MB, and %.1f kB for each CPU\n", memory.shared / 1e6, memory.cpu / 1e3);
        EXPECT(memory.shared <= UNDERPASS_MEMORY_MB * 1000000ULL);
        EXPECT(memory.cpu <= UNDERPASS_MEMORY_CPU_KB * 1000ULL);
        /* Kernels before 6.4 count entries only, and so less. */
        EXPECT(memory.shared * 2 >= UNDERPASS_MEMORY_MB * 1000000ULL);
        EXPECT(memory.cpu * 5 >= UNDERPASS_MEMORY_CPU_KB * 4000ULL);
        return true;
}

int main(void) {
        struct bench bench;
        bool passed;
        int r;

        if (!bench_privileged()) {
                printf("skip: needs CAP_BPF and CAP_NET_ADMIN\n");
                return EXIT_SKIPPED;
        }
        r = bench_open(&bench, 0);
        if (r < 0) {
                fprintf(stderr, "cannot load the programs: %s\n", strerror(-r));
                return EXIT_FAILED;
        }
        passed = enough(&bench);
        bench_close(&bench);
        return passed ? EXIT_PASSED : EXIT_FAILED;
}
