/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The programs on the host, see bench.h. Twin: bench-kernel.c. What the kernel does for programs is done
 * here, as far as packets go: a packet ends where its memory does, so reading on is a fault (see slack()).
 *
 * Room: the programs themselves, as source. No sockets: no connection is ever found.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

/* It is asked of two places 14 bytes apart, so one is no multiple of 4. It reads 16 bits at once at most. */
__attribute__((no_sanitize("alignment"))) static int is_ip_at(struct __sk_buff *skb, __u32 offset);

#include "bpf/underpass.bpf.c"
#include "host-map.h"

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void) 0)
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void) 0)
#endif

enum {
        LINEAR_MAX = 8192, /* bytes that programs can read directly, with what change_head() adds */
        HINT = 0x20000000, /* where memory below 4 GiB can be had */
        VERDICT_REDIRECT = 7,
        OFFSET_MAX = 0xffff,
        ALIGNMENT = 4, /* of IP headers */
        MEMORY = LINEAR_MAX + ALIGNMENT,
};

/* The packet in work. Its linear part ends before a page that cannot be read, the rest is apart. */
struct host {
        uint8_t *memory;      /* below 4 GiB, for a context has pointers of 32 bits */
        size_t page;          /* so many bytes behind the memory cannot be read */
        uint8_t *end;         /* of what can be read */
        uint8_t *start;       /* of the packet */
        uint8_t bytes[LINEAR_MAX];
        size_t length;
        size_t linear;
        size_t layer3;        /* 14 or 0 */
        size_t ip;            /* offset of what was the IP header when the packet came; may wrap around */
        struct {
                struct underpass_flow_key last; /* the largest that is told of */
                size_t size;                    /* 0: nothing */
        } rings[BENCH_RING_COUNT];
        __u64 ahead;          /* of this machine's clock, in nanoseconds; may wrap around */
};

/* One packet at a time, as helpers are not told whose it is. */
static struct host host;

/*
 * How many bytes lie between the linear part and the page that cannot be read. The IP header begins at a
 * multiple of 4, as in the kernel (NET_IP_ALIGN), and does not move when something is put before it. Where
 * the processor reads numbers at any address there are no such bytes, so reading on by a single byte is a
 * fault. AddressSanitizer is told of them.
 */
static size_t slack(size_t linear) {
        return HOST_READS_ANYWHERE ? 0 : ((uintptr_t) host.end - linear + host.ip) % ALIGNMENT;
}

/* What programs have written directly is in the linear part. */
static void gather(void) {
        memcpy(host.bytes, host.start, host.linear);
}

static void lay_out(struct __sk_buff *skb, size_t linear) {
        const size_t behind = slack(linear);

        host.linear = linear;
        host.start = host.end - behind - linear;
        ASAN_UNPOISON_MEMORY_REGION(host.end - ALIGNMENT, ALIGNMENT);
        memset(host.end - MEMORY, 0xa5, MEMORY);
        memcpy(host.start, host.bytes, linear);
        ASAN_POISON_MEMORY_REGION(host.end - behind, behind);
        skb->len = (__u32) host.length;
        skb->data = (__u32) (uintptr_t) host.start;
        skb->data_end = skb->data + (__u32) linear;
}

static void pull(struct __sk_buff *skb, size_t linear) {
        gather();
        lay_out(skb, linear > host.linear ? linear : host.linear);
}

void *bpf_map_lookup_elem(void *map, const void *key) {
        return host_map_find(host_map_number(map), key);
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags) {
        int number = host_map_number(map);

        if (flags == BPF_NOEXIST && host_map_find(number, key))
                return -EEXIST;
        return host_map_put(number, key, value);
}

long bpf_map_delete_elem(void *map, const void *key) {
        return host_map_delete(host_map_number(map), key);
}

int bench_map_update(int map, const void *key, const void *value) {
        return host_map_put(map, key, value);
}

int bench_map_lookup(int map, const void *key, void *ret) {
        return host_map_get(map, key, ret);
}

int bench_map_delete(int map, const void *key) {
        return host_map_delete(map, key);
}

int bench_map_next(int map, const void *key, void *ret_key) {
        return host_map_next(map, key, ret_key);
}

long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags) {
        const enum bench_ring number = ring == &unmerged   ? BENCH_UNMERGED :
                                       ring == &unanswered ? BENCH_UNANSWERED :
                                                             BENCH_UNCERTAIN;

        host.rings[number].size = size;
        memcpy(&host.rings[number].last, data, size);
        return 0;
}

int bench_told(const struct bench *bench, enum bench_ring ring, void *ret) {
        if (host.rings[ring].size == 0)
                return -ENOENT;
        memcpy(ret, &host.rings[ring].last, host.rings[ring].size);
        host.rings[ring].size = 0;
        return 0;
}

__u64 bench_now(void) {
        return bench_clock() + host.ahead;
}

void bench_wait(__u64 nanoseconds) {
        host.ahead += nanoseconds;
}

void bench_set_uptime(__u32 seconds) {
        host.ahead += seconds * 1000000000ULL + 500000000 - bench_now();
}

__u64 bpf_ktime_get_coarse_ns(void) {
        return bench_now();
}

long bpf_redirect(__u32 ifindex, __u64 flags) {
        return VERDICT_REDIRECT;
}

/* The copy is seen by nobody. */
long bpf_clone_redirect(struct __sk_buff *skb, __u32 ifindex, __u64 flags) {
        return 0;
}

long bpf_skb_load_bytes(const void *skb, __u32 offset, void *to, __u32 length) {
        if (offset > OFFSET_MAX || (size_t) offset + length > host.length) {
                memset(to, 0, length);
                return -EFAULT;
        }
        gather();
        memcpy(to, host.bytes + offset, length);
        return 0;
}

long bpf_skb_store_bytes(struct __sk_buff *skb, __u32 offset, const void *from, __u32 length, __u64 flags) {
        if (offset > OFFSET_MAX || (size_t) offset + length > host.length)
                return -EFAULT;
        gather();
        memcpy(host.bytes + offset, from, length);
        lay_out(skb, offset + length > host.linear ? offset + length : host.linear);
        return 0;
}

long bpf_skb_pull_data(struct __sk_buff *skb, __u32 length) {
        if (length > host.length)
                return -ENOMEM;
        pull(skb, length ? length : host.linear);
        return 0;
}

long bpf_skb_change_tail(struct __sk_buff *skb, __u32 length, __u64 flags) {
        if (flags != 0 || length > host.length)
                return -EINVAL; /* longer ones are not needed */
        gather();
        host.length = length;
        lay_out(skb, length); /* as the kernel does */
        return 0;
}

/* The packet loses what is behind its Ethernet header. */
static long take_room(struct __sk_buff *skb, size_t room) {
        const size_t behind = host.layer3;

        if (behind + room > host.length)
                return -EINVAL;
        gather();
        memmove(host.bytes + behind, host.bytes + behind + room, host.length - behind - room);
        host.length -= room;
        host.ip -= room;
        lay_out(skb, host.linear > behind + room ? host.linear - room : behind);
        return 0;
}

/* Room behind the Ethernet header. Of super-packets the size of the segments shrinks, as in the kernel. */
long bpf_skb_adjust_room(struct __sk_buff *skb, __s32 difference, __u32 mode, __u64 flags) {
        const size_t behind = host.layer3, room = (size_t) difference;

        if (mode == BPF_ADJ_ROOM_MAC && difference < 0)
                return take_room(skb, (size_t) -difference);
        if (mode != BPF_ADJ_ROOM_MAC || host.length + room > sizeof(host.bytes))
                return -EINVAL;
        if (skb->gso_size && !(flags & BPF_F_ADJ_ROOM_FIXED_GSO))
                skb->gso_size -= (__u32) room;
        gather();
        memmove(host.bytes + behind + room, host.bytes + behind, host.length - behind);
        memset(host.bytes + behind, 0, room);
        host.length += room;
        host.ip += room;
        lay_out(skb, host.linear + room);
        return 0;
}

long bpf_skb_change_head(struct __sk_buff *skb, __u32 length, __u64 flags) {
        if (flags != 0 || host.length + length > sizeof(host.bytes))
                return -EINVAL;
        gather();
        memmove(host.bytes + length, host.bytes, host.length);
        memset(host.bytes, 0, length);
        host.length += length;
        host.ip += length;
        lay_out(skb, host.linear + length);
        return 0;
}

/* A checksum in the packet. */
static long replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) {
        __u16 check;

        if (bpf_skb_load_bytes(skb, offset, &check, sizeof(check)) < 0)
                return -EFAULT;
        check = underpass_check_adjust(check, underpass_fold((__u32) (to & 0xffff) + (__u32) (to >> 16)),
                                       underpass_fold((__u32) (from & 0xffff) + (__u32) (from >> 16)));
        return bpf_skb_store_bytes(skb, offset, &check, sizeof(check), 0);
}

long bpf_l3_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) {
        return replace(skb, offset, from, to, flags);
}

long bpf_l4_csum_replace(struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags) {
        return replace(skb, offset, from, to, flags);
}

long bpf_check_mtu(void *skb, __u32 ifindex, __u32 *mtu, __s32 difference, __u64 flags) {
        *mtu = 1500;
        return 0;
}

/* The frame loses its first bytes. */
long bpf_xdp_adjust_head(struct xdp_md *context, int difference) {
        if (difference < 0 || context->data + (__u32) difference + ETH_HLEN > context->data_end)
                return -EINVAL; /* longer ones are not needed */
        context->data += (__u32) difference;
        return 0;
}

/* Tags are not in the packets of the tests: where one is, it is in the context. */
long bpf_skb_vlan_pop(struct __sk_buff *skb) {
        skb->vlan_present = 0;
        skb->vlan_tci = 0;
        return 0;
}

long bpf_csum_update(struct __sk_buff *skb, __wsum sum) {
        return -ENOTSUP; /* no card has summed the packet */
}

void bpf_set_hash_invalid(struct __sk_buff *skb) {
        skb->hash = 0;
}

struct bpf_sock *bpf_sk_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                   __u64 flags) {
        return NULL;
}

struct bpf_sock *bpf_skc_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                    __u64 flags) {
        return NULL;
}

struct bpf_sock *bpf_sk_lookup_udp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns,
                                   __u64 flags) {
        return NULL;
}

struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sock) {
        return NULL;
}

struct bpf_sock *bpf_sk_fullsock(struct bpf_sock *sock) {
        return sock;
}

long bpf_tcp_check_syncookie(void *sock, void *ip, __u32 ip_length, struct tcphdr *tcp, __u32 tcp_length) {
        return -ENOENT;
}

long bpf_sk_release(void *sock) {
        return 0;
}

long bpf_fib_lookup(void *context, struct bpf_fib_lookup *params, int length, __u32 flags) {
        return -ENOTSUP;
}

__u64 bpf_get_netns_cookie(void *context) {
        return 0;
}

long bpf_getsockopt(void *context, int level, int name, void *value, int length) {
        return -ENOTSUP;
}

long bpf_setsockopt(void *context, int level, int name, void *value, int length) {
        return -ENOTSUP;
}

bool bench_privileged(void) {
        return true;
}

#define MAP(name, kind, entries)                                                                            \
        host_map_add(&(name), HOST_MAP_##kind, sizeof(*(name).key), sizeof(*(name).value), (entries))

static size_t readable(void) {
        return (MEMORY + host.page - 1) / host.page * host.page;
}

static int make_memory(void) {
        void *memory;

        host.page = (size_t) sysconf(_SC_PAGESIZE);
        memory = mmap((void *) (uintptr_t) HINT, readable() + host.page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return -errno;
        host.memory = memory;
        host.end = host.memory + readable();
        if ((uintptr_t) host.end <= UINT32_MAX && mprotect(host.end, host.page, PROT_NONE) == 0)
                return 0;
        munmap(memory, readable() + host.page);
        return -ENOMEM;
}

int bench_open(struct bench *ret, __u32 flows_max) {
        int r = make_memory();

        if (r < 0)
                return r;
        *ret = (struct bench) {
                .links = MAP(links, HASH, UNDERPASS_LINKS_MAX),
                .slots = MAP(slots, ARRAY, UNDERPASS_LINKS_MAX + 1),
                .loader = MAP(loader, ARRAY, 1),
                .flows = MAP(flows, HASH, UNDERPASS_FLOWS_MAX),
                .half_open = MAP(half_open, HASH, UNDERPASS_HALF_OPEN_MAX),
                .destinations = MAP(destinations, HASH, UNDERPASS_DESTINATIONS_MAX),
                .sources = MAP(sources, HASH, UNDERPASS_SOURCES_MAX),
                .sockets = MAP(sockets, HASH, UNDERPASS_SOCKETS_MAX),
                .socket_ports = MAP(socket_ports, ARRAY, UNDERPASS_SOCKET_WORDS + 1),
                .counters = MAP(counters, ARRAY, UNDERPASS_LINKS_MAX + 1),
                .cpus = 1,
        };
        return 0;
}

void bench_close(struct bench *bench) {
        host_map_remove_all();
        munmap(host.memory, readable() + host.page);
}

static int call(enum bench_program program, struct __sk_buff *skb) {
        switch (program) {
        case BENCH_EGRESS:
                return underpass_egress_ethernet(skb);
        case BENCH_EGRESS_RAW:
                return underpass_egress_raw(skb);
        case BENCH_INGRESS:
                return underpass_ingress_ethernet(skb);
        case BENCH_INGRESS_RAW:
                return underpass_ingress_raw(skb);
        case BENCH_SEGMENT:
                return underpass_segment(skb);
        case BENCH_MERGED:
                return underpass_merged(skb);
        case BENCH_PROGRAM_COUNT:
                break;
        }
        return VERDICT_DROP;
}

/* data_end of the context is how long the linear part is, as in kernels that have packets in parts. */
int bench_run(const struct bench *bench, enum bench_program program, bool summed, struct frame *frame,
              struct __sk_buff *context, __u32 *ret_verdict) {
        struct __sk_buff skb = context ? *context : (struct __sk_buff) {};
        size_t linear = skb.data_end ? skb.data_end : frame->length;
        uint16_t protocol;

        if (summed || frame->length < ETH_HLEN || linear > frame->length)
                return -EINVAL;
        host.length = frame->length;
        host.layer3 = program == BENCH_EGRESS_RAW || program == BENCH_INGRESS_RAW ? 0 : ETH_HLEN;
        host.ip = host.layer3;
        memcpy(host.bytes, frame->data, frame->length);
        skb.ifindex = BENCH_IFINDEX;
        memcpy(&protocol, frame->data + 12, sizeof(protocol));
        skb.protocol = protocol;
        lay_out(&skb, linear);
        if (program == BENCH_INGRESS_RAW && is_framed(&skb)) {
                host.ip = ETH_HLEN;
                lay_out(&skb, linear);
        }
        *ret_verdict = (__u32) call(program, &skb);
        gather();
        memcpy(frame->data, host.bytes, host.length);
        frame->length = host.length;
        if (context) {
                skb.data = skb.data_end = 0;
                *context = skb;
        }
        return 0;
}

int bench_run_early(const struct bench *bench, struct frame *frame, __u32 *ret_verdict) {
        struct xdp_md early = { .ingress_ifindex = BENCH_IFINDEX };
        struct __sk_buff skb = {};

        if (frame->length < ETH_HLEN)
                return -EINVAL;
        host.length = frame->length;
        host.layer3 = host.ip = ETH_HLEN;
        memcpy(host.bytes, frame->data, frame->length);
        lay_out(&skb, frame->length);
        early.data = skb.data;
        early.data_end = skb.data_end;
        *ret_verdict = (__u32) underpass_xdp(&early);
        frame->length = early.data_end - early.data;
        memcpy(frame->data, (void *) (uintptr_t) early.data, frame->length);
        return 0;
}
