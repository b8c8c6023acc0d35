-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Shows TCP that is carried in UDP as TCP, in Wireshark 4.0 and newer: tshark -X lua_script:underpass.lua, or put it where
-- Help > About Wireshark > Folders says "Lua Plugins". The filter "underpass" finds such packets. underpass-wire(5) has the
-- format.
--
-- A datagram is taken when it is the first SYN of a connection, when it goes on where one is, or when it has options that nothing
-- but TCP has. At the ports of the preference "ports" it needs to have the form only. Everything else is left to others.

local UDP_HEADER = 8
local TCP_HEADER = 20
local FIXED = TCP_HEADER - UDP_HEADER -- what is in the payload of a datagram before the options
local PROTOCOL_TCP, PROTOCOL_CHANGE = 6, 17 - 6
local IPV4_HEADER, IPV6_HEADER, USUAL_IPV4 = 20, 40, 0x45

local NEAR = 0x8000000 -- bytes; no window is that large but by RFC 7323's limit
local QUIC_LONG, QUIC_VERSION_1 = 20, 1

local FLAG_SYN, FLAG_RST, FLAG_ACK = 0x02, 0x04, 0x10
local OPTION_END, OPTION_NOP, OPTION_MSS, OPTION_TIMESTAMP, OPTION_MPTCP = 0, 1, 2, 8, 30

-- Flags that TCP sends, but for ECE and CWR, which say nothing about the form: S, SA, A, PA, FA, FPA, R, RA.
local FLAGS = { [0x02] = true, [0x12] = true, [0x10] = true, [0x18] = true, [0x11] = true, [0x19] = true, [0x04] = true,
                [0x14] = true }

local proto = Proto("underpass", "TCP carried in UDP")
local form_field = ProtoField.string("underpass.form", "Form")
local cut_expert = ProtoExpert.new("underpass.cut", "Data that was not captured is shown as zeros", expert.group.UNDECODED,
                                   expert.severity.NOTE)
local checksum_of_udp = Field.new("udp.checksum")

proto.fields = { form_field }
proto.experts = { cut_expert }
proto.prefs.ports = Pref.range("Ports", "", "UDP ports at which every datagram that has the form is taken", 65535)

-- Connections that began in UDP, by their addresses and ports: first is the number of the frame of the first SYN, latest the
-- sequence numbers seen last, by sender; quic says that QUIC has come by the same ones.
local begun = {}
-- What was decided when a frame was seen first, by its number, as it may be shown again in any order.
local decided = {}

function proto.init()
        begun, decided = {}, {}
end

local function sender_of(pinfo)
        return tostring(pinfo.src) .. " " .. pinfo.src_port
end

local function receiver_of(pinfo)
        return tostring(pinfo.dst) .. " " .. pinfo.dst_port
end

local function connection_of(pinfo)
        local source, destination = sender_of(pinfo), receiver_of(pinfo)

        return source < destination and source .. " " .. destination or destination .. " " .. source
end

-- The kinds of the options in tvb from position to stop, or nil when they are no list of options.
local function option_kinds(tvb, position, stop)
        local kinds = {}

        while position < stop do
                local kind = tvb:range(position, 1):uint()

                if kind == OPTION_END then
                        return kinds
                end
                kinds[kind] = true
                if kind == OPTION_NOP then
                        position = position + 1
                else
                        local length = position + 1 < stop and tvb:range(position + 1, 1):uint() or 0

                        if length < 2 or position + length > stop then
                                return nil
                        end
                        position = position + length
                end
        end
        return kinds
end

-- That of the datagram, or nil: Wireshark reads files without building a tree first, and there is no other way to it.
local function udp_checksum()
        local found = { checksum_of_udp() }

        return #found > 0 and found[#found].value or nil
end

-- The classic form: the TCP header re-arranged behind a UDP header. What is needed to judge it, or nil if it does not have it.
local function classic_read(tvb, pinfo)
        if tvb:captured_len() < FIXED then
                return nil
        end
        local options = tvb:range(0, 1):bitfield(0, 4) * 4 - TCP_HEADER
        local flags = tvb:range(1, 1):uint() % 0x40 -- without ECE and CWR

        -- Without a checksum it is no form of TCP.
        if options < 0 or tvb:range(0, 1):bitfield(6, 1) ~= 0 or not FLAGS[flags] or udp_checksum() == 0 then
                return nil
        end
        if flags == FLAG_SYN and tvb:range(0, 1):bitfield(4, 2) ~= 0 then
                return nil
        end
        -- An error of ICMP may quote a part of the header.
        if FIXED + options > tvb:reported_len() and not pinfo.in_error_pkt then
                return nil
        end
        local captured = math.min(FIXED + options, tvb:captured_len())
        local kinds = option_kinds(tvb, FIXED, captured)

        if not kinds and captured == FIXED + options then
                return nil
        end
        return { flags = flags, sequence = tvb:range(4, 4):uint(), acknowledged = tvb:range(8, 4):uint(), kinds = kinds or {} }
end

-- Whether Wireshark shows the name of an address, by the user's preference.
local function is_name(address)
        local text = tostring(address)

        return not text:find(":", 1, true) and not text:find("^[%d.]+$")
end

-- Wireshark has those of IPv4 before all those of IPv6.
local function is_version_4(address)
        return address < Address.ipv6("::")
end

-- The addresses behind names, as text: for each name the one that was needed last, as several can have the same name.
local hidden = {}

-- The address behind a name. Wireshark tells the name only, but it compares: a bit is set if the address is not less with it.
local function behind_name(address)
        local make, form, bits = Address.ipv6, "%x:%x:%x:%x:%x:%x:%x:%x", 16
        local parts, name = { 0, 0, 0, 0, 0, 0, 0, 0 }, tostring(address)

        if is_version_4(address) then
                make, form, bits, parts = Address.ip, "%d.%d.%d.%d", 8, { 0, 0, 0, 0 }
        end
        if hidden[name] and make(hidden[name]) == address then
                return hidden[name]
        end
        for place = 1, #parts do
                for bit = bits - 1, 0, -1 do
                        parts[place] = parts[place] + 2 ^ bit
                        if address < make(form:format(table.unpack(parts))) then
                                parts[place] = parts[place] - 2 ^ bit
                        end
                end
        end
        hidden[name] = form:format(table.unpack(parts))
        return hidden[name]
end

-- The sum of the words of an address as text.
local function address_sum(text)
        local sum = 0

        for first, second, third, fourth in text:gmatch("(%d+)%.(%d+)%.(%d+)%.(%d+)") do
                sum = sum + first * 256 + second + third * 256 + fourth
        end
        for word in text:gsub("%d+%.[%d.]+", ""):gmatch("%x+") do
                sum = sum + tonumber(word, 16)
        end
        return sum
end

-- That of the two addresses of a packet.
local function ends_sum(pinfo)
        local sum = 0

        for _, address in ipairs({ pinfo.src, pinfo.dst }) do
                sum = sum + address_sum(is_name(address) and behind_name(address) or tostring(address))
        end
        return sum
end

-- The checksum of a segment whose own is 0, from all its bytes.
local function whole_checksum(bytes, pinfo)
        local sum = ends_sum(pinfo) + PROTOCOL_TCP + bytes:len()

        for position = 0, bytes:len() - 1 do
                sum = sum + bytes:get_index(position) * (position % 2 == 0 and 256 or 1)
        end
        return 0xffff - sum % 0xffff
end

-- The sums cover the same words, but for the protocol in the pseudo header, the length of the UDP header, and bits.
local function converted_checksum(checksum, length, bits)
        local sum = (0xffff - checksum - PROTOCOL_CHANGE - length - bits * 256) % 0xffff

        return sum == 0 and 0 or 0xffff - sum
end

local function classic_rebuild(tvb, pinfo)
        local length = UDP_HEADER + tvb:reported_len()
        local udp, tcp = udp_checksum(), 0
        local bits = tvb:range(0, 1):bitfield(4, 2) * 4 -- what is said of the bulk form; the receiver clears it
        local bytes = ByteArray.new(Struct.pack(">I2I2", pinfo.src_port, pinfo.dst_port), true)

        bytes:append(tvb:range(4, 8):bytes())
        bytes:append(tvb:range(0, 4):bytes())
        bytes:set_index(12, bytes:get_index(12) - bits)
        bytes:append(ByteArray.new(Struct.pack(">I2I2", 0, 0), true))
        if tvb:captured_len() > FIXED then
                bytes:append(tvb:range(FIXED, tvb:captured_len() - FIXED):bytes())
        end
        -- Without a tree nobody sees it, but segments with a wrong one are not put together.
        if udp then
                tcp = converted_checksum(udp, length, bits)
        elseif get_preference("tcp.check_checksum") then
                tcp = whole_checksum(bytes, pinfo)
        end
        bytes:set_index(16, math.floor(tcp / 256))
        bytes:set_index(17, tcp % 256)
        return bytes, length
end

-- The bulk form: an IP packet with a TCP segment behind a UDP header. The length of its IP header, or nil.
local function bulk_header(tvb, pinfo)
        local version = tvb:range(0, 1):bitfield(0, 4)
        local header = version == 4 and IPV4_HEADER or IPV6_HEADER
        local length, protocol

        if tvb:captured_len() < header + TCP_HEADER - 2 then
                return nil
        elseif is_version_4(pinfo.src) == (version == 6) then
                return nil
        elseif version == 4 then
                length, protocol = tvb:range(2, 2):uint(), tvb:range(9, 1):uint()
                -- An IP header without options, and no fragment.
                if tvb:range(0, 1):uint() ~= USUAL_IPV4 or tvb:range(6, 2):uint() % 0x4000 ~= 0 then
                        return nil
                end
        elseif version == 6 then
                length, protocol = tvb:range(4, 2):uint() + IPV6_HEADER, tvb:range(6, 1):uint()
        end
        if protocol ~= PROTOCOL_TCP or (length ~= tvb:reported_len() and not pinfo.in_error_pkt) then
                return nil
        end
        return header
end

-- Whether an end of the inner packet is the same as outside: a NAT on the way changes the outer headers, those of one side.
local function bulk_has_end(tvb, pinfo, header)
        local addresses = tvb:range(header == IPV4_HEADER and 12 or 8, header == IPV4_HEADER and 8 or 32)
        local size = addresses:len() / 2
        local read = function(range) return tostring(size == 4 and range:ipv4() or range:ipv6()) end

        return (read(addresses:range(0, size)) == tostring(pinfo.src) and tvb:range(header, 2):uint() == pinfo.src_port) or
               (read(addresses:range(size, size)) == tostring(pinfo.dst) and tvb:range(header + 2, 2):uint() == pinfo.dst_port)
end

local function bulk_read(tvb, pinfo)
        local header = tvb:captured_len() > 0 and bulk_header(tvb, pinfo)

        if not header or (header == IPV6_HEADER and udp_checksum() == 0) then
                return nil
        end
        local offset, flags = tvb:range(header + 12, 1):bitfield(0, 4) * 4, tvb:range(header + 13, 1):uint() % 0x40

        if offset < TCP_HEADER or not FLAGS[flags] or math.floor(flags / FLAG_ACK) % 2 == 0 or flags == FLAG_SYN + FLAG_ACK or
           flags == FLAG_RST + FLAG_ACK or (header + offset > tvb:reported_len() and not pinfo.in_error_pkt) then
                return nil
        end
        local captured = math.min(header + offset, tvb:captured_len())
        local kinds = captured > header + TCP_HEADER and option_kinds(tvb, header + TCP_HEADER, captured) or {}

        return { flags = flags, kinds = bulk_has_end(tvb, pinfo, header) and kinds or {}, header = header,
                 sequence = tvb:range(header + 4, 4):uint(), acknowledged = tvb:range(header + 8, 4):uint() }
end

-- The sum of 16-bit words.
local function words_sum(range)
        local sum = 0

        for position = 0, range:len() - 2, 2 do
                sum = sum + range:range(position, 2):uint()
        end
        return sum
end

-- The inner segment, with the ports that are outside, and its checksum changed as a NAT changes it.
local function bulk_rebuild(tvb, pinfo, facts)
        local header = facts.header
        local bytes = tvb:range(header):bytes()
        local addresses = words_sum(header == IPV4_HEADER and tvb:range(12, 8) or tvb:range(8, 32))
        local inner = addresses + words_sum(tvb:range(header, 4))
        local outer = ends_sum(pinfo) + pinfo.src_port + pinfo.dst_port
        local tcp = tvb:range(header + 16, 2):uint()
        local sum = (0xffff - tcp - inner + outer) % 0xffff

        for position, port in pairs({ [0] = pinfo.src_port, [2] = pinfo.dst_port }) do
                bytes:set_index(position, math.floor(port / 256))
                bytes:set_index(position + 1, port % 256)
        end
        if inner ~= outer then
                tcp = sum == 0 and 0 or 0xffff - sum
        end
        bytes:set_index(16, math.floor(tcp / 256))
        bytes:set_index(17, tcp % 256)
        return bytes, tvb:reported_len() - header
end

-- The wire forms. read: facts about a datagram, or nil when it does not have the form. rebuild: the bytes of the TCP segment as
-- far as they were captured, and how long it is. Where one can be taken for the other, the first is more likely: it has a length.
local forms = {
        { name = "bulk", read = bulk_read, rebuild = bulk_rebuild },
        { name = "classic", read = classic_read, rebuild = classic_rebuild },
}
local tcp_dissector = Dissector.get("tcp")

local function is_near(number, latest)
        local distance = (number - latest) % 0x100000000

        return distance < NEAR or distance > 0x100000000 - NEAR
end

-- Whether a segment goes on where its connection is. What else comes by the same addresses and ports hardly has such numbers.
local function goes_on(facts, known, pinfo)
        local mine, theirs = known.latest[sender_of(pinfo)], known.latest[receiver_of(pinfo)]
        local acknowledges = math.floor(facts.flags / FLAG_ACK) % 2 == 1

        return (not mine or is_near(facts.sequence, mine)) and
               (not acknowledges or not theirs or is_near(facts.acknowledged, theirs))
end

-- Whether a datagram that has a form is one for certain, by what came before it.
local function decide(facts, pinfo)
        local connection = connection_of(pinfo)
        local known = begun[connection]

        if facts.flags == FLAG_SYN and facts.acknowledged == 0 and (facts.kinds[OPTION_MSS] or facts.kinds[OPTION_MPTCP]) then
                if not known then
                        known = { first = pinfo.number }
                        begun[connection] = known
                        -- We come before dissectors that have an ephemeral port for their own, and let them have what is theirs.
                        pinfo.conversation = proto
                end
                known.latest = { [sender_of(pinfo)] = facts.sequence }
                return true
        end
        -- The capture may have begun later than the connection.
        local has_option = facts.flags ~= FLAG_SYN and (facts.kinds[OPTION_TIMESTAMP] or facts.kinds[OPTION_MPTCP]) or false

        if known and (has_option or goes_on(facts, known, pinfo)) then
                -- A reset may have any number.
                if facts.flags ~= FLAG_RST and facts.flags ~= FLAG_RST + FLAG_ACK then
                        known.latest[sender_of(pinfo)] = facts.sequence
                end
                return true
        end
        return has_option
end

-- What an error of ICMP quotes has been decided when it was sent.
local function certain(facts, pinfo)
        if pinfo.in_error_pkt then
                local known = begun[connection_of(pinfo)]

                return known and pinfo.number >= known.first or facts.kinds[OPTION_TIMESTAMP] or facts.kinds[OPTION_MPTCP] or false
        end
        if decided[pinfo.number] == nil then
                decided[pinfo.number] = decide(facts, pinfo)
        end
        return decided[pinfo.number]
end

local function show(form, facts, tvb, pinfo, tree)
        local bytes, length = form.rebuild(tvb, pinfo, facts)
        local item = tree:add(proto, tvb:range())

        item:add(form_field, form.name):set_generated()
        -- An error of ICMP quotes no more than this.
        if bytes:len() < length and not pinfo.in_error_pkt then
                item:add_proto_expert_info(cut_expert)
                bytes:set_size(length)
        end
        tcp_dissector:call(bytes:tvb("TCP segment"), pinfo, tree)
        pinfo.cols.info:append(" [in UDP]")
end

-- Whether the datagram was ours.
local function try(tvb, pinfo, tree, believed)
        for _, form in ipairs(forms) do
                local facts = form.read(tvb, pinfo)

                if facts and (certain(facts, pinfo) or believed) then
                        show(form, facts, tvb, pinfo, tree)
                        return true
                end
        end
        return false
end

-- QUIC that comes by the addresses and ports of a connection. If it were left to Wireshark, everything that follows would be
-- taken for QUIC.
local function try_quic(tvb, pinfo, tree, known)
        local first = tvb:captured_len() >= QUIC_LONG and tvb:range(0, 1):uint() or 0

        if first >= 0xc0 and tvb:range(1, 4):uint() == QUIC_VERSION_1 then
                known.quic = known.quic or pinfo.number
        elseif first < 0x40 or first >= 0x80 or not known.quic or pinfo.number < known.quic then
                return false
        end
        Dissector.get("quic"):call(tvb, pinfo, tree)
        return true
end

-- In connections that began in UDP, at the ports of the preference, and where "Decode As" says so.
function proto.dissector(tvb, pinfo, tree)
        local known = begun[connection_of(pinfo)]
        local is_known = known and pinfo.number >= known.first or false

        if try(tvb, pinfo, tree, not is_known) or (is_known and try_quic(tvb, pinfo, tree, known)) then
                return tvb:captured_len()
        end
        return 0
end

proto:register_heuristic("udp", function(tvb, pinfo, tree)
        return try(tvb, pinfo, tree, false)
end)

local by_port = DissectorTable.get("udp.port")
local chosen = proto.prefs.ports

by_port:add_for_decode_as(proto)

function proto.prefs_changed()
        if chosen ~= "" then
                by_port:remove(chosen, proto)
        end
        chosen = proto.prefs.ports
        if chosen ~= "" then
                by_port:add(chosen, proto)
        end
end
