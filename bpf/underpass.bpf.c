// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs. egress and ingress sit on each tunnelled link, in a variant for Ethernet and one for devices
 * without link layer header (wwan, ppp, tun, wireguard); hop sits on the receiving end of the segmentation
 * hop.
 *
 *   egress   TCP of a tunnelled flow → redirected to the hop as it is: super-packet, checksum not done yet
 *   hop      one segment at a time, checksum complete → UDP form, out of the link it was meant for
 *   ingress  UDP of a tunnelled flow → TCP form; ICMP errors about it → errors about TCP
 *   keepalive  sockets of tunnelled flows speak often enough for a NAT (cgroup, not on a link)
 *
 * Room: the hooks of the kernel; what a header means is in packet.h and flow.h.
 *
 * Everything else gets "next": on tcx the next program runs, on clsact the next filter. Constant offsets
 * only, so CAP_BPF and CAP_NET_ADMIN suffice.
 */

#include "icmp.h"
#include "keepalive.h"
#include "learn.h"

enum {
        VERDICT_NEXT = -1, /* TCX_NEXT and TC_ACT_UNSPEC */
        VERDICT_DROP = 2,  /* TCX_DROP and TC_ACT_SHOT */
        HOP_MAGIC = 0x756e6470,
};

/* What egress tells hop in skb->cb, which survives segmentation and the veth pair. */
enum hop_note {
        NOTE_IFINDEX,
        NOTE_PRIORITY, /* dev_forward_skb() zeroes it */
        NOTE_MAGIC,
        NOTE_SLOT,
};

UNDERPASS_INLINE int send_to_hop(struct __sk_buff *skb, const __u32 layer3, __u32 slot) {
        __u32 zero = 0;
        struct underpass_hop *target = bpf_map_lookup_elem(&hop, &zero);

        if (!target || target->ifindex == 0) {
                count(slot, UNDERPASS_COUNTER_DROP_NO_HOP);
                return VERDICT_DROP;
        }
        if (layer3 == 0) {
                /* The hop speaks Ethernet: give the packet a header, which goes again at the raw device. */
                struct ethhdr header = { .h_proto = (__be16) skb->protocol };

                if (bpf_skb_change_head(skb, ETH_HLEN, 0) < 0 ||
                    bpf_skb_store_bytes(skb, 0, &header, sizeof(header), 0) < 0) {
                        count(slot, UNDERPASS_COUNTER_DROP_HOP_HEADER);
                        return VERDICT_DROP;
                }
        }
        skb->cb[NOTE_IFINDEX] = skb->ifindex;
        skb->cb[NOTE_PRIORITY] = skb->priority;
        skb->cb[NOTE_MAGIC] = HOP_MAGIC;
        skb->cb[NOTE_SLOT] = slot;
        return bpf_redirect(target->ifindex, 0);
}

UNDERPASS_INLINE int egress(struct __sk_buff *skb, const __u32 layer3) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        __u8 flags;

        switch (packet_read(skb, layer3, UNDERPASS_PROTOCOL_TCP, &packet)) {
        case PACKET_FOUND:
                break;
        case PACKET_FRAGMENT:
                count_on_link(skb, UNDERPASS_COUNTER_PASS_FRAGMENT);
                return VERDICT_NEXT;
        default:
                return VERDICT_NEXT;
        }
        flow_key_outgoing(&packet, &key);
        flags = packet.header.tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK);
        if (flags == UNDERPASS_TCP_SYN && !flow_open(skb, &packet, &key))
                return VERDICT_NEXT;
        flow = flow_lookup(&key);
        if (!flow || !flow_carries(flow, &packet.header))
                return VERDICT_NEXT;
        if ((flow->flags & UNDERPASS_FLOW_PLAIN_SYN) && answers_plain_syn(&packet.header, &key))
                return VERDICT_NEXT;
        flow_sent(flow, &packet.header);
        return send_to_hop(skb, layer3, flow->slot);
}

/* A SYN or SYN-ACK, in TCP form: may ask for no larger segments than link, profile and path allow. */
UNDERPASS_GLOBAL int clamp(struct __sk_buff *skb, struct packet *packet, struct underpass_flow_key *key,
                           __u32 ifindex) {
        struct underpass_link *link = bpf_map_lookup_elem(&links, &ifindex);
        __u32 mtu = 0;

        if (!link)
                return 0;
        if (link->flags & UNDERPASS_LINK_MSS_AUTO)
                mtu = verdict_mtu(key, ifindex);
        if (packet_clamp_mss(skb, packet, link->mss_ipv4, link->mss_ipv6, mtu))
                count(link->slot, UNDERPASS_COUNTER_MSS_CLAMPED);
        return 0;
}

UNDERPASS_INLINE int receive(struct __sk_buff *skb, const __u32 layer3, struct packet *packet,
                             struct underpass_flow_key *key, __u32 slot) {
        __u32 difference = UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA);

        packet_to_tcp(packet);
        if (packet->header.tcp.flags & UNDERPASS_TCP_SYN)
                clamp(skb, packet, key, skb->ifindex);
        if (packet_write(skb, layer3, UNDERPASS_PROTOCOL_TCP, packet) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HOP_HEADER);
                return VERDICT_DROP;
        }
        /* A card that summed the whole packet (CHECKSUM_COMPLETE) must hear how the sum changed: the
         * segment by the pseudo header's protocol number; the IPv4 header not at all, its checksum evens
         * it out; the IPv6 header by the next header byte, which is a high one. No-op for all other kinds
         * of checksum state. */
        if (packet->ipv6)
                difference += (__u16) ~UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA << 8);
        bpf_csum_update(skb, difference);
        bpf_set_hash_invalid(skb);
        count(slot, UNDERPASS_COUNTER_RECEIVED);
        return VERDICT_NEXT;
}

UNDERPASS_INLINE int ingress(struct __sk_buff *skb, const __u32 layer3) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        __u32 slot;

        if (packet_read(skb, layer3, UNDERPASS_PROTOCOL_UDP, &packet) != PACKET_FOUND) {
                if (packet_read(skb, layer3, UNDERPASS_PROTOCOL_TCP, &packet) == PACKET_FOUND)
                        learn_from_plain(skb, &packet);
                else if (icmp_may_concern(skb, layer3))
                        return icmp_convert(skb, layer3) ? VERDICT_DROP : VERDICT_NEXT;
                return VERDICT_NEXT;
        }
        /* The cheapest test first, for all UDP of this host: a data offset below 5 is never ours. */
        if (packet.header.udp.offset < UNDERPASS_HEADER_LENGTH / 4 << 4)
                return VERDICT_NEXT;
        flow_key_incoming(&packet, &key);
        flow = flow_lookup(&key);
        if (!flow || flow->state == UNDERPASS_FLOW_WATCHED ||
            (flow_is_silent(flow) && flow_is_over(skb, &packet))) {
                if (packet.header.udp.check == 0 || skb->gso_size ||
                    (!flow_accept(skb, &packet, &key) && !learn_again(skb, &packet, &key)))
                        return VERDICT_NEXT;
                flow = flow_lookup(&key);
                if (!flow)
                        return VERDICT_NEXT;
        }
        slot = flow->slot;
        if (skb->gso_size) {
                count(slot, UNDERPASS_COUNTER_PASS_MERGED);
                return VERDICT_NEXT;
        }
        if (!underpass_udp_shape(&packet.header, packet.length)) {
                count(slot, UNDERPASS_COUNTER_PASS_LENGTH);
                return VERDICT_NEXT;
        }
        if (packet.header.udp.check == 0) {
                count(slot, UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM);
                return VERDICT_NEXT;
        }
        flow_received(flow, &key, &packet.header);
        return receive(skb, layer3, &packet, &key, slot);
}

SEC("tc")
int underpass_egress_ethernet(struct __sk_buff *skb) {
        return egress(skb, ETH_HLEN);
}

SEC("tc")
int underpass_egress_raw(struct __sk_buff *skb) {
        return egress(skb, 0);
}

SEC("tc")
int underpass_ingress_ethernet(struct __sk_buff *skb) {
        return ingress(skb, ETH_HLEN);
}

SEC("tc")
int underpass_ingress_raw(struct __sk_buff *skb) {
        return ingress(skb, 0);
}

SEC("tc")
int underpass_hop(struct __sk_buff *skb) {
        __u32 ifindex = skb->cb[NOTE_IFINDEX], slot = skb->cb[NOTE_SLOT];
        struct packet packet = {};

        if (skb->cb[NOTE_MAGIC] != HOP_MAGIC) {
                count(0, UNDERPASS_COUNTER_DROP_HOP_FOREIGN);
                return VERDICT_DROP;
        }
        if (skb->gso_size) {
                count(slot, UNDERPASS_COUNTER_DROP_HOP_UNSEGMENTED);
                return VERDICT_DROP;
        }
        if (packet_read(skb, ETH_HLEN, UNDERPASS_PROTOCOL_TCP, &packet) != PACKET_FOUND ||
            !underpass_tcp_shape(&packet.header, packet.length)) {
                count(slot, UNDERPASS_COUNTER_DROP_HOP_HEADER);
                return VERDICT_DROP;
        }
        if (packet.header.tcp.flags & UNDERPASS_TCP_SYN) {
                struct underpass_flow_key key = {};

                flow_key_outgoing(&packet, &key);
                clamp(skb, &packet, &key, ifindex);
        }
        if (packet_to_udp(&packet))
                count(slot, UNDERPASS_COUNTER_URGENT_CLEARED);
        if (packet_write(skb, ETH_HLEN, UNDERPASS_PROTOCOL_UDP, &packet) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HOP_HEADER);
                return VERDICT_DROP;
        }
        skb->priority = skb->cb[NOTE_PRIORITY];
        count(slot, UNDERPASS_COUNTER_SENT);
        return bpf_redirect(ifindex, 0);
}

char _license[] SEC("license") = "GPL";
