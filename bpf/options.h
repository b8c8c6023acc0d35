/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * TCP options: what a SYN or SYN-ACK says in them, and the MSS that it may ask for.
 */

#include "packet.h"

enum {
        OPTIONS_MAX = 24,            /* TCP options, NOPs included, that are looked at */
        OPTION_END = 0,
        OPTION_NOP = 1,
        OPTION_MSS = 2,
        OPTION_MD5 = 19,             /* RFC 2385 */
        OPTION_AO = 29,              /* RFC 5925 */
        OPTION_MPTCP = 30,           /* RFC 8684 */
        MPTCP_JOIN = 1,              /* subtype of the MPTCP option, high four bits of its third byte */
};

/* What a SYN or SYN-ACK says in its options. */
struct packet_options {
        __u32 mss_offset; /* of the value of two bytes, from the start of the packet; 0: none */
        __u16 mss;        /* host order */
        __u8 mptcp;       /* 1: there is an MPTCP option, 2: one of MP_JOIN */
        __u8 nops;        /* how many NOPs */
        __u8 is_signed;   /* 1: TCP-AO or TCP-MD5: the header is signed in its TCP form */
};

/*
 * Walks the options of a segment whose layer 4 header begins at layer4; both forms have them at the same
 * place. data_offset is the byte as it stands in the header. A chain that is malformed ends the walk: what
 * came before counts. Returns 0.
 */
UNDERPASS_GLOBAL int packet_options(struct __sk_buff *skb, __u32 layer4, __u8 data_offset,
                                    struct packet_options *ret) {
        __u32 length = (__u32) (data_offset >> 4) * 4;
        /* In memory and one byte wide: so the verifier knows nothing of its value, and finds the rounds
         * alike whichever way they went. They are unrolled, for without CAP_PERFMON it also follows the way
         * of a processor that guesses wrong at the end of a loop, and finds no end (kernel 6.12). */
        volatile __u8 position = UNDERPASS_HEADER_LENGTH;

        if (!ret)
                return 0;
        ret->mss_offset = 0;
        ret->mss = 0;
        ret->mptcp = 0;
        ret->nops = 0;
        ret->is_signed = 0;
#pragma unroll
        for (int i = 0; i < OPTIONS_MAX; i++) {
                __u8 option[4] = {};
                __u32 at = position;

                if (at >= length || bpf_skb_load_bytes(skb, layer4 + at, option, 1) < 0 ||
                    option[0] == OPTION_END)
                        break;
                if (option[0] == OPTION_NOP) {
                        ret->nops++;
                        position = at + 1;
                        continue;
                }
                if (bpf_skb_load_bytes(skb, layer4 + at + 1, option + 1, 1) < 0 || option[1] < 2 ||
                    at + option[1] > length)
                        break;
                if (option[0] == OPTION_MD5 || option[0] == OPTION_AO)
                        ret->is_signed = 1;
                if (option[0] == OPTION_MPTCP) {
                        ret->mptcp = 1;
                        if (bpf_skb_load_bytes(skb, layer4 + at + 2, option + 2, 1) == 0 &&
                            option[2] >> 4 == MPTCP_JOIN)
                                ret->mptcp = 2;
                }
                if (option[0] == OPTION_MSS && option[1] == 4) {
                        if (bpf_skb_load_bytes(skb, layer4 + at + 2, option + 2, 2) < 0)
                                break;
                        ret->mss_offset = layer4 + at + 2;
                        ret->mss = (__u16) ((option[2] << 8) | option[3]);
                }
                position = at + option[1];
        }
        return 0;
}

/*
 * Lowers the MSS of a SYN or SYN-ACK to the limit of its IP version (0: never) and to what fits mtu (0: not
 * known). packet->header is in TCP form; its checksum is put right here and written by the packet_write()
 * that follows. Returns 1 when something was changed.
 */
UNDERPASS_GLOBAL int packet_clamp_mss(struct __sk_buff *skb, struct packet *packet, __u16 limit_ipv4,
                                      __u16 limit_ipv6, __u32 mtu) {
        struct packet_options options = {};
        __u32 headers;
        __u16 limit, old, new;

        if (!packet)
                return 0;
        limit = packet->ipv6 ? limit_ipv6 : limit_ipv4;
        headers = (packet->ipv6 ? IPV6_LENGTH : IPV4_LENGTH) + UNDERPASS_HEADER_LENGTH;
        if (limit != 0 && mtu > headers && mtu - headers < limit)
                limit = mtu - headers;
        new = UNDERPASS_NET16(limit);
        if (limit == 0)
                return 0;
        packet_options(skb, packet->layer4, packet->header.tcp.offset, &options);
        if (options.mss_offset == 0 || options.mss <= limit ||
            bpf_skb_store_bytes(skb, options.mss_offset, &new, sizeof(new), 0) < 0)
                return 0;
        old = UNDERPASS_NET16(options.mss);
        packet->header.tcp.check = underpass_check_replace16(packet->header.tcp.check, old, new,
                                                             options.mss_offset - packet->layer4);
        return 1;
}
