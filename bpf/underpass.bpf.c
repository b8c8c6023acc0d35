// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs. egress and ingress sit on each tunnelled link, in a variant for Ethernet and one for
 * devices without link layer header (wwan, ppp, tun, wireguard); segment sits where the segmentation device
 * has cut packets, merged on the receiving end of the GRO pair.
 *
 * egress   TCP of a tunnelled flow → redirected to the segmentation device as it is: super-packet, checksum
 *          not done yet; ICMP errors about what the peer sent in the tunnel → errors about UDP
 * segment  one segment at a time, checksum complete → UDP form, out of the link it was meant for;
 *          one datagram of a merged one → TCP form, to the GRO pair or back to the link it came by
 * ingress  UDP of a tunnelled flow → TCP form; merged before (UDP GRO) → redirected to the segmentation
 *          device, which cuts it; ICMP errors about the flow → errors about TCP; segments that belong to no
 *          connection → a reset, back to the peer
 * merged   what GRO made of such TCP → back to the link it came by, into the stack
 *          (flow.h tells how each knows the link of a packet)
 * keepalive  sockets of tunnelled flows speak often enough for a NAT (cgroup, not on a link)
 *
 * Everything else gets "next": on tcx the next program runs, on clsact the next filter. Constant offsets
 * only, so CAP_BPF and CAP_NET_ADMIN suffice.
 */

#include "xdp.h"
#include "bulk-fast.h"
#include "bulk-receive.h"
#include "bulk-send.h"
#include "bulk-tell.h"
#include "bulk.h"
#include "forgotten.h"
#include "guard.h"
#include "icmp.h"
#include "inject.h"
#include "keepalive.h"
#include "learn.h"
#include "note.h"
#include "path-mtu.h"
#include "throttle.h"

enum {
        VERDICT_NEXT = -1, /* TCX_NEXT, TC_ACT_UNSPEC, NETKIT_NEXT */
        VERDICT_DROP = 2,  /* TCX_DROP, TC_ACT_SHOT, NETKIT_DROP */
        VERDICT_OTHER = -2, /* none yet: it is another packet */
        VERDICT_CUT = -3,   /* none yet: it is to be cut first */
        VLAN_ID_MASK = 0xfff,
};

UNDERPASS_INLINE struct underpass_slot *slot_of(__u32 slot) {
        return bpf_map_lookup_elem(&slots, &slot);
}

/* bits: of the bulk form, see note_sent(). */
UNDERPASS_INLINE int send_to_segment(struct __sk_buff *skb, const __u32 layer3, __u32 slot, __u32 bits) {
        struct underpass_slot *of = slot_of(slot);

        if (!of || of->device_ifindex == 0) {
                count(slot, UNDERPASS_COUNTER_DROP_NO_DEVICE);
                return VERDICT_DROP;
        }
        if (layer3 == 0) {
                /* The segmentation device speaks Ethernet: give the packet a header, which goes again at
                 * the raw device. */
                struct ethhdr header = { .h_proto = (__be16) skb->protocol };

                if (bpf_skb_change_head(skb, ETH_HLEN, 0) < 0 ||
                    bpf_skb_store_bytes(skb, 0, &header, sizeof(header), 0) < 0) {
                        count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                        return VERDICT_DROP;
                }
        }
        note_sent(skb, slot, bits);
        return bpf_redirect(of->device_ifindex, 0);
}

/* Into the GRO pair, by its ifindex; the slot tells which link what it gives back goes on at. */
UNDERPASS_INLINE int send_to_merge(struct __sk_buff *skb, __u32 slot, __u32 gro_ifindex) {
        skb->tc_index = (__u16) slot;
        return (int) bpf_redirect(gro_ifindex, 0);
}

UNDERPASS_INLINE __u32 flags_of_slot(__u32 slot) {
        struct underpass_slot *of = slot_of(slot);

        return of ? of->flags : 0;
}

/* Whether segments over IPv6 are to leave room for the bulk form. */
UNDERPASS_INLINE int clamp_for_bulk(struct underpass_flow_key *key, __u32 ifindex, __u32 slot) {
        __u32 slot_flags = flags_of_slot(slot);

        if (!(slot_flags & UNDERPASS_SLOT_BULK))
                return 0;
        return (slot_flags & UNDERPASS_SLOT_BULK_ALL) || bulk_wants_room(key, ifindex);
}

/* A SYN or SYN-ACK, in TCP form: may ask for no larger segments than link, profile and path allow. */
UNDERPASS_GLOBAL int clamp(struct __sk_buff *skb, struct packet *packet, struct underpass_flow_key *key,
                           __u32 ifindex) {
        struct underpass_link *link = bpf_map_lookup_elem(&links, &ifindex);
        __u32 mtu = 0, room = 0;

        if (!link || !packet)
                return 0;
        if (link->flags & UNDERPASS_LINK_MSS_AUTO)
                mtu = destination_mtu(key, ifindex);
        if (packet->ipv6 && link->mss_ipv6 > BULK_IPV6_ROOM && clamp_for_bulk(key, ifindex, link->slot)) {
                room = BULK_IPV6_ROOM;
                if (mtu > room)
                        mtu -= room;
        }
        if (packet_clamp_mss(skb, packet, link->mss_ipv4, (__u16) (link->mss_ipv6 - room), mtu))
                count(link->slot, UNDERPASS_COUNTER_MSS_CLAMPED);
        return 0;
}

/*
 * What the peer says about the bulk form, in a classic datagram of an established flow. Returns the bits
 * that are to be taken out, 0: none, or the link does not take that form.
 */
UNDERPASS_INLINE __u32 hear_bulk(struct underpass_flow *flow, const struct packet *packet, __u32 slot) {
        struct underpass_slot *of = slot_of(slot);
        __u8 bits = packet->header.udp.offset & UNDERPASS_BULK_BITS;

        if (!of || !(of->flags & UNDERPASS_SLOT_BULK) || flow->state != UNDERPASS_FLOW_TUNNELLED ||
            (packet->header.udp.flags & UNDERPASS_TCP_SYN))
                return 0;
        if (flow_goes_on(flow, &packet->header))
                bulk_hear(flow, bits);
        return bits;
}

/* One datagram of the peer → TCP form. ifindex: of the link it came by. bits: see hear_bulk(). */
UNDERPASS_INLINE int receive(struct __sk_buff *skb, const __u32 layer3, struct packet *packet,
                             struct underpass_flow_key *key, __u32 slot, __u32 ifindex, __u32 bits) {
        __u32 difference = UNDERPASS_NET16(UNDERPASS_PROTOCOL_DELTA);

        if (!packet->usual || (packet->header.udp.flags & UNDERPASS_TCP_SYN)) {
                packet_to_tcp(packet, bits);
                if (packet->header.tcp.flags & UNDERPASS_TCP_SYN) {
                        clamp(skb, packet, key, ifindex);
                        note_converted(skb);
                }
                if (packet_write(skb, layer3, UNDERPASS_PROTOCOL_TCP, packet) < 0) {
                        count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                        return VERDICT_DROP;
                }
        } else if (!packet_fast_to_tcp(skb, layer3, packet->ipv6, bits)) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
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

/* By one look-up: each datagram of bulk passes here. */
UNDERPASS_INLINE void count_bulk_received(__u32 slot, __u32 packets) {
        struct underpass_counters *values = bpf_map_lookup_elem(&counters, &slot);

        if (!values)
                return;
        values->value[UNDERPASS_COUNTER_RECEIVED] += packets;
        values->value[UNDERPASS_COUNTER_BULK_RECEIVED] += packets;
}

/*
 * A datagram of the peer in the bulk form → TCP; it came by the link of the slot. VERDICT_OTHER: it is none;
 * VERDICT_CUT: the stack has merged several; VERDICT_NEXT: it is TCP now.
 */
UNDERPASS_GLOBAL int receive_bulk(struct __sk_buff *skb, struct packet *packet, struct underpass_flow *flow,
                                  __u32 slot) {
        __u32 merged = skb->gso_segs ? skb->gso_segs : 1;

        if (!packet || !flow)
                return VERDICT_OTHER;
        switch (bulk_take(skb, packet, flow)) {
        case BULK_RESULT_TCP:
                break;
        case BULK_RESULT_BROKEN:
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        case BULK_RESULT_MERGED:
                return VERDICT_CUT;
        case BULK_RESULT_MALFORMED:
                if (packet->ipv6)
                        return VERDICT_OTHER; /* it may be classic */
                count(slot, UNDERPASS_COUNTER_DROP_MALFORMED);
                return VERDICT_DROP;
        default:
                return VERDICT_OTHER;
        }
        bulk_arrived(flow, bpf_ktime_get_coarse_ns(), UNDERPASS_NET32(packet->header.udp.acknowledgment));
        flow->received += merged - 1;
        if (packet->header.udp.flags & UNDERPASS_TCP_FIN)
                flow_peer_ends(flow, &packet->header);
        flow_acknowledged(flow, &packet->header);
        bpf_set_hash_invalid(skb);
        count_bulk_received(slot, merged);
        return VERDICT_NEXT;
}

/* The established flow of a datagram that may be bulk; else 0. */
UNDERPASS_INLINE struct underpass_flow *find_bulk(const struct packet *packet,
                                                  const struct underpass_flow_key *key) {
        if (!bulk_begins(&packet->header, packet->ipv6))
                return 0;
        return bpf_map_lookup_elem(&flows, key);
}

/* TCP made of such a datagram, see receive_cut(): through the GRO pair, or back to its link. */
UNDERPASS_GLOBAL int leave_cut(struct __sk_buff *skb, __u32 slot, __u32 established) {
        struct underpass_slot *of = slot_of(slot);

        if (!of)
                return VERDICT_DROP;
        if (!established || of->gro_ifindex == 0)
                return bpf_redirect(of->ifindex, BPF_F_INGRESS);
        return send_to_merge(skb, slot, of->gro_ifindex);
}

/*
 * One datagram of those that ingress has sent here to be cut, in the order in which they came. What cannot
 * become TCP goes back to its link as it is, where ingress decides about it as about any other; but what
 * looks like bulk would be sent here again, for ever, so it is dropped. The GRO pair is for established
 * flows: it would lose the note on what else there is to learn from.
 */
UNDERPASS_GLOBAL int receive_cut(struct __sk_buff *skb, __u32 slot) {
        struct underpass_slot *of = slot_of(slot);
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        __u32 ifindex, bits;
        int established, bulk;

        if (!of || packet_read(skb, ETH_HLEN, UNDERPASS_PROTOCOL_UDP, &packet) != PACKET_FOUND) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        ifindex = of->ifindex;
        flow_key_incoming(&packet, &key);
        flow = find_bulk(&packet, &key);
        bulk = flow && (of->flags & UNDERPASS_SLOT_BULK);
        if (bulk) {
                int verdict = receive_bulk(skb, &packet, flow, slot);

                if (verdict == VERDICT_NEXT)
                        return leave_cut(skb, slot, 1);
                if (verdict == VERDICT_DROP)
                        return verdict;
        }
        flow = flow_lookup_incoming(&key, &packet);
        if (!flow || flow->state == UNDERPASS_FLOW_WATCHED || packet.header.udp.check == 0 ||
            !underpass_udp_shape(&packet.header, packet.length)) {
                if (!bulk)
                        return bpf_redirect(ifindex, BPF_F_INGRESS);
                count(slot, UNDERPASS_COUNTER_DROP_MALFORMED);
                return VERDICT_DROP;
        }
        established =
                flow->state == UNDERPASS_FLOW_TUNNELLED && !(packet.header.udp.flags & UNDERPASS_TCP_SYN);
        if (!established)
                note_converted(skb);
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        bits = hear_bulk(flow, &packet, slot);
        flow_received(flow, &key, slot, &packet.header);
        if (receive(skb, ETH_HLEN, &packet, &key, slot, ifindex, bits) == VERDICT_DROP)
                return VERDICT_DROP;
        return leave_cut(skb, slot, established);
}

/* A segment that is not as usual → UDP form. bits: of the bulk form, 0: as they are. */
UNDERPASS_GLOBAL int send_unusual(struct __sk_buff *skb, __u32 slot, __u32 ifindex, __u32 bits) {
        struct packet packet = {};
        int found = packet_read(skb, ETH_HLEN, UNDERPASS_PROTOCOL_TCP, &packet);

        if (found == PACKET_OTHER)
                return VERDICT_OTHER;
        if (found != PACKET_FOUND || !underpass_tcp_shape(&packet.header, packet.length)) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        if (packet.header.tcp.flags & UNDERPASS_TCP_SYN) {
                struct underpass_flow_key key = {};

                flow_key_outgoing(&packet, &key);
                clamp(skb, &packet, &key, ifindex);
        }
        if (packet_to_udp(&packet, packet.header.tcp.flags & UNDERPASS_TCP_SYN ? 0 : bits))
                count(slot, UNDERPASS_COUNTER_URGENT_CLEARED);
        if (packet_write(skb, ETH_HLEN, UNDERPASS_PROTOCOL_UDP, &packet) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        count(slot, UNDERPASS_COUNTER_SENT);
        return VERDICT_NEXT;
}

/*
 * One segment of a tunnelled flow, its checksum complete, or one datagram. VERDICT_NEXT: it has its UDP
 * form, for the link of the slot. All else is what to do with it: it is half written, or on its way in.
 */
UNDERPASS_INLINE int behind_device(struct __sk_buff *skb, __u32 slot, __u32 ifindex, __u32 bits) {
        int verdict;

        if (packet_fast_to_udp(skb, bits)) {
                count(slot, UNDERPASS_COUNTER_SENT);
                return VERDICT_NEXT;
        }
        verdict = send_unusual(skb, slot, ifindex, bits);
        if (verdict != VERDICT_OTHER)
                return verdict;
        note_remove(skb);
        return receive_cut(skb, slot);
}

/* Whether a frame is of a VLAN above the link, which is another network. VLAN 0 is none, but a priority. */
UNDERPASS_INLINE int is_of_vlan(struct __sk_buff *skb) {
        return skb->vlan_present && (skb->vlan_tci & VLAN_ID_MASK) != 0;
}

/* A frame of a VLAN leaves. It is left alone, unless an 8021q segmentation device gives back a segment of
 * ours to its link, with our tag. */
UNDERPASS_GLOBAL int egress_from_vlan(struct __sk_buff *skb) {
        __u32 ifindex = skb->ifindex, note = skb->tc_index, slot = note_slot(note);
        struct underpass_slot *of = slot_of(slot);

        if ((skb->vlan_tci & VLAN_ID_MASK) != UNDERPASS_SEGMENT_VLAN ||
            skb->vlan_proto != UNDERPASS_NET16(ETH_P_8021Q) || !note_is_sent(skb) || !of ||
            of->ifindex != ifindex || of->device_ifindex == 0)
                return VERDICT_NEXT;
        if (skb->gso_size) {
                count(slot, UNDERPASS_COUNTER_DROP_UNSEGMENTED);
                return VERDICT_DROP;
        }
        note_remove(skb);
        if (bpf_skb_vlan_pop(skb) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        return behind_device(skb, slot, ifindex, note_bits(note));
}

/* Instead of the packet, its sender gets an error. way: BPF_F_INGRESS for our own side, 0 for the peer. */
UNDERPASS_INLINE int tell_path_mtu(struct __sk_buff *skb, const __u32 layer3, __u32 ipv6, __u32 mtu,
                                   const __u64 way) {
        if (path_mtu_make_error(skb, layer3, ipv6, mtu) < 0) {
                count_on_link(skb, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        return (int) bpf_redirect(skb->ifindex, way);
}

/* A segment of ours, which ends before the sequence number "end", is sent again. Returns what
 * path_mtu_of_black_hole() does. */
UNDERPASS_GLOBAL int look_at_loss(struct __sk_buff *skb, struct packet *packet, struct underpass_flow *flow,
                                  __u32 slot, __u32 end) {
        if (!packet || !flow)
                return 0;
        packet->again = 1;
        if (throttle_sent_again(flow, end - UNDERPASS_NET32(packet->header.tcp.sequence))) {
                throttle_note(packet, skb->ifindex);
                count(slot, UNDERPASS_COUNTER_THROTTLED);
        }
        if ((flow->bulk & UNDERPASS_BULK_UNHEARD) && path_mtu_is_awaited(flow, packet)) {
                bulk_lost(packet, flow, skb->ifindex, slot);
                return 0;
        }
        return path_mtu_of_black_hole(skb, packet, flow, slot);
}

/* What leaves and is not TCP. 1: it has to be dropped. */
UNDERPASS_INLINE int egress_other(struct __sk_buff *skb, const __u32 layer3) {
        if (inject_is_of_udp_socket(skb))
                return inject_into_flow(skb, layer3);
        return icmp_may_concern(skb, layer3) && icmp_quote_udp(skb, layer3);
}

/*
 * A super-packet, which leaves in the bulk form, or in the classic one (VERDICT_OTHER), perhaps after a
 * probe.
 */
UNDERPASS_GLOBAL int egress_bulk(struct __sk_buff *skb, struct packet *packet, struct underpass_flow *flow,
                                 __u32 slot) {
        __u32 slot_flags = flags_of_slot(slot);
        int r;

        if (!packet || !flow ||
            (slot_flags & (UNDERPASS_SLOT_BULK | UNDERPASS_SLOT_BULK_UNSENT)) != UNDERPASS_SLOT_BULK)
                return VERDICT_OTHER;
        r = bulk_decide(packet, flow, skb->ifindex, slot, slot_flags);
        if (r == BULK_DECISION_PROBE) {
                note_probe(skb);
                bpf_clone_redirect(skb, skb->ifindex, 0);
                note_remove(skb);
                flow->sent++;
                count(slot, UNDERPASS_COUNTER_SENT);
                count(slot, UNDERPASS_COUNTER_BULK_SENT);
        }
        if (r != BULK_DECISION_BULK)
                return VERDICT_OTHER;
        r = bulk_send(skb, packet, flow, slot);
        if (r == 0)
                return VERDICT_OTHER;
        flow->bulk |= UNDERPASS_BULK_UNHEARD;
        return r < 0 ? VERDICT_DROP : VERDICT_NEXT;
}

/* The bits of the bulk form for a classic packet of ours. */
UNDERPASS_INLINE __u32 egress_bits(struct __sk_buff *skb, struct underpass_flow *flow, __u32 slot) {
        __u32 bits = bulk_bits(flow, flags_of_slot(slot));

        if (bits && skb->sk && !flow->socket)
                flow->socket = 1;
        return bits;
}

UNDERPASS_INLINE int egress(struct __sk_buff *skb, const __u32 layer3) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        __u32 end, slot;
        __u8 flags;

        if (note_is_converted(skb)) {
                note_remove(skb);
                return VERDICT_NEXT;
        }
        if (note_is_probe(skb)) {
                note_remove(skb);
                return bulk_make_probe(skb, layer3) ? VERDICT_NEXT : VERDICT_DROP;
        }
        switch (packet_read(skb, layer3, UNDERPASS_PROTOCOL_TCP, &packet)) {
        case PACKET_FOUND:
                break;
        case PACKET_FRAGMENT:
                count_on_link(skb, UNDERPASS_COUNTER_PASS_FRAGMENT);
                return VERDICT_NEXT;
        default:
                return egress_other(skb, layer3) ? VERDICT_DROP : VERDICT_NEXT;
        }
        flow_key_outgoing(&packet, &key);
        flags = packet.header.tcp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK);
        if (flags == UNDERPASS_TCP_SYN && !flow_open(skb, &packet, &key)) {
                flow_sent_plain(&key, flow_packet_end(skb, &packet));
                return VERDICT_NEXT;
        }
        /* An earlier flow of these addresses and ports may be there yet, see flow_make_way(). */
        flow = flags == UNDERPASS_TCP_SYN ? bpf_map_lookup_elem(&half_open, &key) : flow_lookup(&key);
        if (!flow || !flow_carries(flow, &packet.header))
                return VERDICT_NEXT;
        if ((flow->flags & UNDERPASS_FLOW_PLAIN_SYN) && answers_plain_syn(&packet.header, flow, &key))
                return VERDICT_NEXT;
        slot = slot_of_link(skb->ifindex, flow->slot);
        end = flow_packet_end(skb, &packet);
        if (throttle_is_sent_again(flow, &packet, end)) {
                int mtu = look_at_loss(skb, &packet, flow, slot, end);

                if (mtu < 0) {
                        count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                        return VERDICT_DROP;
                }
                if (mtu > 0)
                        return tell_path_mtu(skb, layer3, packet.ipv6, (__u32) mtu, BPF_F_INGRESS);
        }
        flow_sent(flow, &packet.header, end);
        flow_count_segments(skb, flow, &packet.header, end);
        flow_move(flow, skb->ifindex, slot);
        if (skb->gso_segs >= BULK_SEGMENTS_MIN) {
                int verdict = egress_bulk(skb, &packet, flow, slot);

                if (verdict != VERDICT_OTHER)
                        return verdict;
        }
        return send_to_segment(skb, layer3, slot, egress_bits(skb, flow, slot));
}

/*
 * Where a datagram of an established flow goes on: through the GRO pair (its ifindex), or at once (0).
 * Merging many into one saves the stack most of its work, waiting for it costs microseconds. So bulk is
 * merged, and what is small goes on at once, unless it could overtake bulk that came just before. While
 * the bulk form arrives, the classic one is no bulk: what comes in the bulk form may be merged already,
 * then goes on at once, and must not overtake it.
 */
UNDERPASS_INLINE __u32 merge_target(struct underpass_flow *flow, __u32 slot, __u16 length, __u8 flags) {
        struct underpass_slot *of = slot_of(slot);
        __u64 now = flow->seen_ns;

        if (!of || of->gro_ifindex == 0 || flow->state != UNDERPASS_FLOW_TUNNELLED ||
            (flags & UNDERPASS_TCP_SYN))
                return 0;
        if ((length >= UNDERPASS_GRO_LENGTH && !bulk_arrives(flow)) || (of->flags & UNDERPASS_SLOT_GRO_ALL))
                flow->merged_ns = now;
        else if (now - flow->merged_ns > UNDERPASS_GRO_LINGER_MS * MILLISECONDS)
                return 0;
        return of->gro_ifindex;
}

/*
 * A datagram of a flow that cannot become TCP. It may be a part of what the peer sends, so no UDP socket,
 * which any user can open, gets it. A flow that is not established may be made up; there UDP is left alone.
 */
UNDERPASS_INLINE int malformed(const struct underpass_flow *flow, const struct packet *packet, __u32 slot) {
        if (flow->state == UNDERPASS_FLOW_TUNNELLED) {
                count(slot, UNDERPASS_COUNTER_DROP_MALFORMED);
                return VERDICT_DROP;
        }
        if (packet->header.udp.check == 0)
                count(slot, UNDERPASS_COUNTER_PASS_ZERO_CHECKSUM);
        else
                count(slot, UNDERPASS_COUNTER_PASS_LENGTH);
        return VERDICT_NEXT;
}

UNDERPASS_INLINE int take_fragment(struct __sk_buff *skb, const __u32 layer3, struct packet *packet) {
        int mtu = path_mtu_of_fragment(skb, packet);

        if (mtu <= 0)
                return mtu == 0 ? VERDICT_NEXT : VERDICT_DROP;
        return tell_path_mtu(skb, layer3, 0, (__u32) mtu, 0);
}

/* A frame of its own: the egress programs have their copy. */
UNDERPASS_GLOBAL int send_to_cut(struct __sk_buff *skb, __u32 layer3, __u32 slot) {
        return send_to_segment(skb, layer3, slot, 0);
}

UNDERPASS_GLOBAL int answer_forgotten(struct __sk_buff *skb, struct packet *packet) {
        int answered = forgotten_reset(skb, packet);

        if (answered <= 0)
                return answered == 0 ? VERDICT_NEXT : VERDICT_DROP;
        return (int) bpf_redirect(skb->ifindex, 0);
}

/*
 * A datagram that may be bulk. VERDICT_OTHER: it is not. Many in one, as a link hands them over that
 * another kernel or a card has not cut, go on as they are to a socket of this host. For a host behind they
 * are cut first, as the kernel would go on taking them for a tunnel's. So are merged ones, and what comes
 * right behind those.
 */
UNDERPASS_GLOBAL int ingress_bulk(struct __sk_buff *skb, __u32 layer3, struct packet *packet) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct underpass_slot *of;
        __u32 slot, many;
        int verdict;

        if (!packet)
                return VERDICT_OTHER;
        flow_key_incoming(packet, &key);
        flow = find_bulk(packet, &key);
        if (!flow)
                return VERDICT_OTHER;
        slot = slot_of_link(skb->ifindex, flow->slot);
        of = slot_of(slot);
        if (!of || !(of->flags & UNDERPASS_SLOT_BULK) || bulk_is_over(skb, packet, flow))
                return VERDICT_OTHER;
        many = skb->gso_size;
        if ((many && !flow->socket) ||
            (flow->cut_ns &&
             bpf_ktime_get_coarse_ns() - flow->cut_ns <= UNDERPASS_CUT_LINGER_MS * MILLISECONDS))
                verdict = VERDICT_CUT;
        else
                verdict = receive_bulk(skb, packet, flow, slot);
        if (verdict == VERDICT_CUT) {
                flow->cut_ns = flow->seen_ns = bpf_ktime_get_coarse_ns();
                count(slot, UNDERPASS_COUNTER_CUT);
                return send_to_cut(skb, layer3, slot);
        }
        if (many)
                flow->bulk_whole = (__u16) (bulk_now_ms() / BULK_WHOLE_UNIT_MS | 1);
        else if (verdict == VERDICT_NEXT && bulk_tell_counts(flow, of->flags, flow->seen_ns))
                bulk_tell(&key, flow, skb->ifindex);
        if (verdict != VERDICT_NEXT || layer3 == 0 || of->gro_ifindex == 0 || bulk_comes_whole(flow))
                return verdict;
        flow->merged_ns = flow->seen_ns;
        return send_to_merge(skb, slot, of->gro_ifindex);
}

/* What comes and is not UDP. */
UNDERPASS_INLINE int ingress_other(struct __sk_buff *skb, const __u32 layer3, struct packet *packet) {
        if (packet_read(skb, layer3, UNDERPASS_PROTOCOL_TCP, packet) == PACKET_FOUND)
                learn_from_plain(skb, packet);
        else if (icmp_may_concern(skb, layer3))
                return icmp_convert(skb, layer3) ? VERDICT_DROP : VERDICT_NEXT;
        return VERDICT_NEXT;
}

/* What the GRO pair gives back comes by here a second time. It is TCP now, and no SYN, so there is nothing
 * to learn from it. */
UNDERPASS_INLINE int ingress(struct __sk_buff *skb, const __u32 layer3, const int merges) {
        struct underpass_flow_key key = {};
        struct underpass_flow *flow;
        struct packet packet = {};
        __u32 slot, bits, merge = 0;
        int destination, read;

        read = packet_read(skb, layer3, UNDERPASS_PROTOCOL_UDP, &packet);
        if (read == PACKET_FRAGMENT)
                return take_fragment(skb, layer3, &packet);
        if (read != PACKET_FOUND)
                return ingress_other(skb, layer3, &packet);
        if (bulk_begins(&packet.header, packet.ipv6)) {
                int verdict = ingress_bulk(skb, layer3, &packet);

                if (verdict != VERDICT_OTHER)
                        return verdict;
        }
        /* The cheapest test first, for all UDP of this host: a data offset below 5 is never ours. Merged
         * ones may have one of ours behind it. */
        if (packet.header.udp.offset < UNDERPASS_HEADER_LENGTH / 4 << 4 && !skb->gso_size)
                return VERDICT_NEXT;
        flow_key_incoming(&packet, &key);
        flow = flow_lookup_incoming(&key, &packet);
        if (!flow || flow_is_note(flow) || flow_is_left(skb, &packet, flow)) {
                if (packet.header.udp.check == 0 ||
                    (!flow_accept(skb, &packet, &key) && !learn_again(skb, &packet, &key)))
                        return answer_forgotten(skb, &packet);
                flow = flow_lookup(&key);
                if (!flow)
                        return VERDICT_NEXT;
        }
        slot = slot_of_link(skb->ifindex, flow->slot);
        if (skb->gso_size) {
                flow->cut_ns = flow->seen_ns = bpf_ktime_get_coarse_ns();
                count(slot, UNDERPASS_COUNTER_CUT);
                return send_to_cut(skb, layer3, slot);
        }
        if (packet.header.udp.check == 0 || !underpass_udp_shape(&packet.header, packet.length))
                return malformed(flow, &packet, slot);
        flow->seen_ns = bpf_ktime_get_coarse_ns();
        /* It must not overtake those that are being cut. */
        if (flow->seen_ns - flow->cut_ns <= UNDERPASS_CUT_LINGER_MS * MILLISECONDS)
                return send_to_cut(skb, layer3, slot);
        if (merges)
                merge = merge_target(flow, slot, packet.length, packet.header.udp.flags);
        bits = hear_bulk(flow, &packet, slot);
        flow_received(flow, &key, slot, &packet.header);
        if ((packet.header.udp.flags & (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK)) ==
            (UNDERPASS_TCP_SYN | UNDERPASS_TCP_ACK))
                learn_spoken(skb, &packet, &key);
        destination = receive(skb, layer3, &packet, &key, slot, skb->ifindex, bits);
        if (!merge || destination != VERDICT_NEXT)
                return destination;
        return send_to_merge(skb, slot, merge);
}

/* What ingress lets pass goes on, unless a tunnel socket of the kernel would take it. */
UNDERPASS_INLINE int behind_guard(struct __sk_buff *skb, const __u32 layer3, int verdict) {
        if (verdict != VERDICT_NEXT || !guard_is_needed() || !guard_stops(skb, layer3))
                return verdict;
        count_on_link(skb, UNDERPASS_COUNTER_DROP_STRANGER);
        return VERDICT_DROP;
}

/* See bulk-fast.h. VERDICT_OTHER: the packet is not as usual, and nothing has been done. */
UNDERPASS_GLOBAL int ingress_bulk_fast(struct __sk_buff *skb) {
        const struct bulk_frame_ipv4 *frame = (void *) (long) skb->data + ETH_HLEN;
        __u32 slot, acknowledgment, ifindex = skb->ifindex;
        struct underpass_flow *flow;
        struct underpass_slot *of;
        union bulk_key key;
        __u64 now;

        if ((void *) (frame + 1) > (void *) (long) skb->data_end || !bulk_fast_shape(frame))
                return VERDICT_OTHER;
        bulk_fast_key(frame, &key);
        flow = bpf_map_lookup_elem(&flows, &key.key);
        if (!flow)
                return VERDICT_OTHER;
        slot = flow->slot;
        of = slot_of(slot);
        now = bpf_ktime_get_coarse_ns();
        if (!of || !bulk_fast_goes(flow, of, ifindex, now))
                return VERDICT_OTHER;
        acknowledgment = UNDERPASS_NET32(frame->inner.header.tcp.acknowledgment);
        if (bulk_fast_unwrap(skb, frame) < 0) {
                count(slot, UNDERPASS_COUNTER_DROP_HEADER);
                return VERDICT_DROP;
        }
        bulk_arrived(flow, now, acknowledgment);
        flow->merged_ns = now;
        flow_acknowledged_to(flow, acknowledgment);
        bpf_set_hash_invalid(skb);
        count_bulk_received(slot, 1);
        return send_to_merge(skb, slot, of->gro_ifindex);
}

/* A stack frame of its own, beside that of egress_from_vlan(). */
UNDERPASS_GLOBAL int egress_ethernet(struct __sk_buff *skb) {
        return egress(skb, ETH_HLEN);
}

SEC("tc")
int underpass_egress_ethernet(struct __sk_buff *skb) {
        return is_of_vlan(skb) ? egress_from_vlan(skb) : egress_ethernet(skb);
}

SEC("tc")
int underpass_egress_raw(struct __sk_buff *skb) {
        return egress(skb, 0);
}

SEC("tc")
int underpass_ingress_ethernet(struct __sk_buff *skb) {
        if (is_of_vlan(skb))
                return VERDICT_NEXT;
        if (bulk_fast_begins(skb)) {
                int verdict = ingress_bulk_fast(skb);

                if (verdict != VERDICT_OTHER)
                        return verdict;
        }
        return behind_guard(skb, ETH_HLEN, ingress(skb, ETH_HLEN, 1));
}

/* Whether an IP packet begins there and ends with the frame. */
UNDERPASS_INLINE int is_ip_at(struct __sk_buff *skb, const __u32 offset) {
        void *begin = (void *) (long) skb->data + offset, *end = (void *) (long) skb->data_end;
        struct ipv6hdr *ipv6 = begin;
        struct iphdr *ipv4 = begin;

        if (skb->protocol == UNDERPASS_NET16(ETH_P_IP))
                return (void *) (ipv4 + 1) <= end && ipv4->version == 4 &&
                       UNDERPASS_NET16(ipv4->tot_len) == skb->len - offset;
        return skb->protocol == UNDERPASS_NET16(ETH_P_IPV6) && (void *) (ipv6 + 1) <= end &&
               ipv6->version == 6 && UNDERPASS_NET16(ipv6->payload_len) == skb->len - offset - IPV6_LENGTH;
}

/* See underpass_ingress_raw(). Returns 0 or 1. */
UNDERPASS_GLOBAL int is_framed(struct __sk_buff *skb) {
        return !is_ip_at(skb, 0) && is_ip_at(skb, ETH_HLEN);
}

UNDERPASS_GLOBAL int ingress_bare(struct __sk_buff *skb) {
        return behind_guard(skb, 0, ingress(skb, 0, 0));
}

UNDERPASS_GLOBAL int ingress_framed(struct __sk_buff *skb) {
        return behind_guard(skb, ETH_HLEN, ingress(skb, ETH_HLEN, 0));
}

/*
 * What IPsec has decrypted for a device of its own (vti, vti6, xfrm) comes in behind the Ethernet header of
 * the link below, if that has one: xfrm4_remove_tunnel_encap() moves it there. No field says so.
 */
SEC("tc")
int underpass_ingress_raw(struct __sk_buff *skb) {
        return is_framed(skb) ? ingress_framed(skb) : ingress_bare(skb);
}

SEC("tc")
int underpass_segment(struct __sk_buff *skb) {
        __u32 noted = note_is_sent(skb), slot = skb->cb[NOTE_SLOT], index = skb->tc_index;
        struct underpass_slot *of;
        __u32 ifindex, bits;
        int verdict;

        /* Two loads, not one from a place that varies. */
        asm volatile("" : "+r"(slot), "+r"(index));
        if (!noted)
                slot = index;
        bits = note_bits(slot);
        slot = note_slot(slot);
        of = slot_of(slot);
        if (!of || of->ifindex == 0) {
                count(0, UNDERPASS_COUNTER_DROP_FOREIGN);
                return VERDICT_DROP;
        }
        ifindex = of->ifindex;
        if (skb->gso_size) {
                count(slot, UNDERPASS_COUNTER_DROP_UNSEGMENTED);
                return VERDICT_DROP;
        }
        verdict = behind_device(skb, slot, ifindex, bits);
        if (verdict != VERDICT_NEXT)
                return verdict;
        skb->tc_index = 0;
        note_converted(skb);
        if (noted)
                skb->priority = skb->cb[NOTE_PRIORITY];
        return bpf_redirect(ifindex, 0);
}

SEC("tc")
int underpass_merged(struct __sk_buff *skb) {
        struct underpass_slot *of = slot_of(skb->tc_index);

        if (!of || of->ifindex == 0) {
                count(0, UNDERPASS_COUNTER_DROP_FOREIGN);
                return VERDICT_DROP;
        }
        skb->tc_index = 0;
        return bpf_redirect(of->ifindex, BPF_F_INGRESS);
}

char _license[] SEC("license") = "GPL";
