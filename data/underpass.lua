-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Shows TCP that is carried in UDP as TCP, in Wireshark 4.0 and newer: tshark -X lua_script:underpass.lua, or put it where
-- Help > About Wireshark > Folders says "Lua Plugins". The filter "underpass" finds such packets. underpass-wire(5) has the
-- format.
--
-- A datagram is taken when it is the first SYN of a connection, when it has the addresses of one, or when it has options that
-- nothing but TCP has. At the ports of the preference "ports" it needs to have the form only. Everything else is left to others.

local UDP_HEADER = 8
local TCP_HEADER = 20
local FIXED = TCP_HEADER - UDP_HEADER -- what is in the payload of a datagram before the options
local PROTOCOL_TCP, PROTOCOL_CHANGE = 6, 17 - 6

local FLAG_SYN, FLAG_ACK = 0x02, 0x10
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

-- Connections that began in UDP, by their addresses and ports: the number of the frame of the first SYN.
local begun = {}

function proto.init()
        begun = {}
end

local function connection_of(pinfo)
        local source = tostring(pinfo.src) .. " " .. pinfo.src_port
        local destination = tostring(pinfo.dst) .. " " .. pinfo.dst_port

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

-- The classic form: the TCP header re-arranged behind a UDP header. What is needed to judge it, or nil if it does not have it.
local function classic_read(tvb, pinfo)
        if tvb:captured_len() < FIXED then
                return nil
        end
        local options = tvb:range(0, 1):bitfield(0, 4) * 4 - TCP_HEADER
        local flags = tvb:range(1, 1):uint() % 0x40 -- without ECE and CWR

        if options < 0 or tvb:range(0, 1):bitfield(4, 3) ~= 0 or not FLAGS[flags] then
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
        return { flags = flags, acknowledged = tvb:range(8, 4):uint(), kinds = kinds or {} }
end

-- That of the datagram, or nil: Wireshark reads files without building a tree first, and there is no other way to it.
local function udp_checksum()
        local found = { checksum_of_udp() }

        return #found > 0 and found[#found].value or nil
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

-- The checksum of a segment whose own is 0, from all its bytes.
local function whole_checksum(bytes, pinfo)
        local sum = address_sum(tostring(pinfo.src)) + address_sum(tostring(pinfo.dst)) + PROTOCOL_TCP + bytes:len()

        for position = 0, bytes:len() - 1 do
                sum = sum + bytes:get_index(position) * (position % 2 == 0 and 256 or 1)
        end
        return 0xffff - sum % 0xffff
end

-- The sums cover the same words, but for the protocol in the pseudo header and the length of the UDP header.
local function converted_checksum(checksum, length)
        local sum = (0xffff - checksum - PROTOCOL_CHANGE - length) % 0xffff

        return sum == 0 and 0 or 0xffff - sum
end

local function classic_rebuild(tvb, pinfo)
        local length = UDP_HEADER + tvb:reported_len()
        local udp, tcp = udp_checksum(), 0
        local bytes = ByteArray.new(Struct.pack(">I2I2", pinfo.src_port, pinfo.dst_port), true)

        bytes:append(tvb:range(4, 8):bytes())
        bytes:append(tvb:range(0, 4):bytes())
        bytes:append(ByteArray.new(Struct.pack(">I2I2", 0, 0), true))
        if tvb:captured_len() > FIXED then
                bytes:append(tvb:range(FIXED, tvb:captured_len() - FIXED):bytes())
        end
        -- Without a tree nobody sees it, but segments with a wrong one are not put together.
        if udp then
                tcp = converted_checksum(udp, length)
        elseif get_preference("tcp.check_checksum") then
                tcp = whole_checksum(bytes, pinfo)
        end
        bytes:set_index(16, math.floor(tcp / 256))
        bytes:set_index(17, tcp % 256)
        return bytes, length
end

-- The wire forms. read: facts about a datagram, or nil when it does not have the form. rebuild: the bytes of the TCP segment as
-- far as they were captured, and how long it is. dissector: who shows those bytes. The bulk form, an IP packet behind the UDP
-- header, belongs here as soon as there is one: its first four bits are 4 or 6, its dissector is "ip" or "ipv6".
local forms = {
        { name = "classic", read = classic_read, rebuild = classic_rebuild, dissector = Dissector.get("tcp") },
}

-- Whether a datagram that has a form is one for certain.
local function certain(facts, pinfo)
        local connection = connection_of(pinfo)
        local first = begun[connection]

        if first and pinfo.number >= first then
                return true
        end
        if facts.flags == FLAG_SYN and facts.acknowledged == 0 and (facts.kinds[OPTION_MSS] or facts.kinds[OPTION_MPTCP]) then
                if not first and not pinfo.in_error_pkt then
                        begun[connection] = pinfo.number
                        -- We come before dissectors that have an ephemeral port for their own, and let them have what is theirs.
                        pinfo.conversation = proto
                end
                return true
        end
        -- The capture began later than the connection.
        return facts.flags ~= FLAG_SYN and (facts.kinds[OPTION_TIMESTAMP] or facts.kinds[OPTION_MPTCP]) or false
end

local function show(form, tvb, pinfo, tree)
        local bytes, length = form.rebuild(tvb, pinfo)
        local item = tree:add(proto, tvb:range())

        item:add(form_field, form.name):set_generated()
        -- An error of ICMP quotes no more than this.
        if bytes:len() < length and not pinfo.in_error_pkt then
                item:add_proto_expert_info(cut_expert)
                bytes:set_size(length)
        end
        form.dissector:call(bytes:tvb("TCP segment"), pinfo, tree)
        pinfo.cols.info:append(" [in UDP]")
end

-- Whether the datagram was ours.
local function try(tvb, pinfo, tree, believed)
        for _, form in ipairs(forms) do
                local facts = form.read(tvb, pinfo)

                -- Without a checksum it is no form of TCP.
                if facts and udp_checksum() ~= 0 and (certain(facts, pinfo) or believed) then
                        show(form, tvb, pinfo, tree)
                        return true
                end
        end
        return false
end

-- In connections that began in UDP, at the ports of the preference, and where "Decode As" says so.
function proto.dissector(tvb, pinfo, tree)
        return try(tvb, pinfo, tree, true) and tvb:captured_len() or 0
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
