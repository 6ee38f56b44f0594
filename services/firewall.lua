-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What comes in is refused, but for what is opened. The rules are one table of the kernel's nf_tables, which is replaced as a
-- whole: a change of them is a reload, in which the machine is never without them and connections stay.

local network = require "system.network"
local packet_rules = require "system.packet_rules"
local service = require "system.service"
local tools = require "system.tools"

local PORT = "^(%d+)%-?(%d*)/?(%l*)$"

-- First and last port and protocol of "80", "53/udp", "8000-8010/tcp"; nothing when it is none of these.
local function parse(text)
	local first, last, protocol = tostring(text):match(PORT)
	if not first or #first > 5 or #last > 5 then
		return nil
	end
	first, last = math.tointeger(tonumber(first)), math.tointeger(tonumber(last ~= "" and last or first))
	protocol = protocol == "" and "tcp" or protocol
	if first < 1 or last > 65535 or first > last or (protocol ~= "tcp" and protocol ~= "udp") then
		return nil
	end
	return first, last, protocol
end

local function check_ports(v)
	if not parse(v) then
		return "'" .. v .. "' is not a port such as 80, '53/udp' or '8000-8010/tcp'"
	end
end

local PORT_TYPES = { schema.integer { min = 1, max = 65535 }, schema.string { check = check_ports } }

local function ports(options)
	return schema.one_of(PORT_TYPES, options)
end

local opening = schema.record("opening", {
	port = ports { doc = "80, '53/udp', '8000-8010/tcp'" },
	from = schema.list(network.source {}, { optional = true, min = 1, doc = "addresses and networks; left out: everybody" }),
	interface = network.interface { optional = true, doc = "left out: all" },
}, { doc = "a port that is open for some" })

local path = schema.record("forwarding", {
	from = network.interface { optional = true, doc = "interface where packets come in; left out: any" },
	to = network.interface { optional = true, doc = "interface where they leave; left out: any" },
	source = network.source { optional = true, doc = "network that they come from" },
	destination = network.source { optional = true, doc = "network that they go to" },
}, {
	doc = "what the machine passes on as a router, and the answers to it",
	check = function(f)
		if not (f.from or f.to or f.source or f.destination) then
			return "would pass on everything; name an interface or a network"
		elseif f.source and f.destination and network.family_of(f.source) ~= network.family_of(f.destination) then
			return "is of another family than " .. f.source, "destination"
		end
	end,
})

-- Address and port of "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80".
local function target(to)
	local address, port = to:match("^%[(.*)%]:(%d+)$")
	if not address then
		address, port = to:match("^([%d.]+):(%d+)$")
	end
	return address or to, port
end

local redirect = schema.record("redirect", {
	port = ports { doc = "of this machine" },
	to = schema.string { pattern = "^[%x.:%[%]]+$", what = "ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT", doc = "machine behind this one, with :PORT when it is another there",
		check = function(v)
			local address, port = target(v)
			if not network.family(address) then
				return "'" .. v .. "' is not ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT"
			elseif port and (#port > 5 or tonumber(port) < 1 or tonumber(port) > 65535) then
				return "'" .. port .. "' is not a port, 1 to 65535"
			end
		end },
	interface = network.interface { optional = true, doc = "where packets come in; left out: any" },
}, { doc = "a port of this machine that leads to another one" })

local MODULES = { "nf_tables", "nft_ct", "nft_limit", "nft_log", "nf_log_syslog", "nft_reject_inet", "nft_nat", "nft_masq", "nft_chain_nat" }

local ECHO = { [4] = "proto icmp type 8", [6] = "proto icmpv6 type 128" }

local function match(v)
	local first, last, protocol = parse(v)
	return ("proto %s dport %d-%d"):format(protocol, first, last)
end

-- A network as the file has it.
local function with_bits(v)
	return v:find("/", 1, true) and v or v .. (network.family(v) == 4 and "/32" or "/128")
end

local function side(word, v)
	return v and ("family %d %s %s "):format(network.family_of(v), word, with_bits(v)) or ""
end

local function option(word, v)
	return v and word .. " " .. v .. " " or ""
end

local function open(s, add)
	for _, o in ipairs(s.open) do
		if type(o) ~= "table" then
			add("input", match(o) .. " accept")
		elseif not o.from then
			add("input", option("iif", o.interface) .. match(o.port) .. " accept")
		else
			for _, from in ipairs(o.from) do
				add("input", option("iif", o.interface) .. side("saddr", from) .. match(o.port) .. " accept")
			end
		end
	end
end

-- Does a rule of one's own let in any of what comes to a port?
local function rule_lets_in(rule, protocol, port)
	local only, first, last = rule:match("proto (%l+)"), rule:match("dport (%d+)%-?(%d*)")
	if not (" " .. rule .. " "):find(" accept ") or only and only ~= protocol then
		return false
	end
	return not first or port >= tonumber(first) and port <= tonumber(last ~= "" and last or first)
end

-- Is there anybody whose packets for a port are let in?
local function lets_in(s, protocol, port)
	if #s.trusted_interfaces > 0 then
		return true
	end
	for _, o in ipairs(s.open) do
		local first, last, of = parse(type(o) == "table" and o.port or o)
		if of == protocol and port >= first and port <= last then
			return true
		end
	end
	for _, rule in ipairs(s.rules) do
		if rule_lets_in(rule, protocol, port) then
			return true
		end
	end
	return false
end

-- Is a port one that nobody is meant to reach?
local function closes(s, protocol, port)
	for _, c in ipairs(s.closed) do
		local first, last, of = parse(c)
		if of == protocol and port >= first and port <= last then
			return true
		end
	end
	return false
end

local function advice(protocol, port)
	local list = "{ " .. (protocol == "tcp" and port or '"' .. port .. "/" .. protocol .. '"') .. " }"
	return "open = " .. list .. " there lets them in, closed = " .. list .. " says that it is meant so"
end

local function input(s, add)
	add("input", "iif lo accept")
	add("input", "state established,related accept")
	add("input", "state invalid drop")
	for _, family in ipairs { 4, 6 } do
		-- The rest of ICMPv6 is needed for IPv6 to work at all.
		add("input", ("family %d %s %s"):format(family, ECHO[family], s.ping and "accept" or "drop"))
	end
	add("input", "family 6 proto icmpv6 accept")
	for _, name in ipairs(s.trusted_interfaces) do
		add("input", "iif " .. name .. " accept")
	end
	open(s, add)
	for _, rule in ipairs(s.rules) do
		add("input", rule)
	end
	if s.log then
		add("input", "limit 10/minute 20 log firewall: continue")
	end
	if s.refuse == "reject" then
		add("input", "proto tcp reset")
		add("input", "reject")
	end
end

local function forward(s, add)
	add("forward", "state established,related accept")
	if #s.redirects > 0 then
		add("forward", "status dnat accept")
	end
	for _, f in ipairs(s.forward) do
		add("forward", option("iif", f.from) .. option("oif", f.to) .. side("saddr", f.source) .. side("daddr", f.destination) .. "accept")
	end
end

local function nat(s, add)
	for _, r in ipairs(s.redirects) do
		local address, port = target(r.to)
		add("prerouting", ("%sfamily %d %s dnat %s%s"):format(option("iif", r.interface), network.family(address), match(r.port), address,
			port and " " .. port or ""))
	end
	for _, name in ipairs(s.masquerade) do
		add("postrouting", "oif " .. name .. " masquerade")
	end
end

-- The file that nftload reads.
local function rules(s)
	local out = {
		"chain input filter input 0 drop\n", "chain forward filter forward 0 drop\n",
		"chain prerouting nat prerouting -100 accept\n", "chain postrouting nat postrouting 100 accept\n",
	}
	local function add(chain, rule)
		out[#out + 1] = "rule " .. chain .. " " .. rule .. "\n"
	end
	input(s, add)
	forward(s, add)
	nat(s, add)
	return table.concat(out)
end

-- The same, read once by the program that will read it: what it does not understand is no system.
local function checked(contents, nftload)
	local busybox = tools.busybox .. "/bin/busybox"
	return derivation {
		name = "firewall", builder = busybox,
		args = { "sh", "-ec", '"$nftload" --check firewall "$rules"; "$busybox" cat "$rules" >"$out"' },
		env = { busybox = busybox, nftload = nftload, rules = text("firewall-rules", contents) },
	}
end

return service.service_type {
	name = "firewall",
	doc = "a packet filter: what comes in is refused, but for what is opened",
	keywords = "nftables iptables filter nat router",
	example = [[
services.firewall {
	open = { 22, "80-81/tcp", { port = "53/udp", from = { "192.0.2.0/24" } } },
	masquerade = { "eth0" }, forward = { { from = "lan0", to = "eth0" } },
	redirects = { { port = 8080, to = "10.0.0.2:80", interface = "eth0" } },
}]],
	fields = {
		open = schema.list(schema.one_of { PORT_TYPES[1], PORT_TYPES[2], schema.of(opening) }, { default = {}, doc = "ports: 22, '53/udp', '8000-8010/tcp', or a record" }),
		closed = schema.list(ports {}, { default = {}, doc = "ports that services listen at, and that are meant to stay closed: no warning of them" }),
		trusted_interfaces = schema.list(network.interface {}, { default = {}, unique = true, doc = "everything that comes in there is let in" }),
		ping = schema.boolean { default = true, doc = "answers questions whether the machine is there" },
		refuse = schema.enum({ "drop", "reject" }, { default = "drop", doc = "no answer, or a clear no" }),
		log = schema.boolean { default = false, doc = "what is refused goes into the kernel's log, 10 a minute" },
		forward = schema.list(schema.of(path), { default = {}, doc = "what the machine passes on as a router" }),
		masquerade = schema.list(network.interface {}, { default = {}, unique = true, doc = "what leaves there has this machine's address" }),
		redirects = schema.list(schema.of(redirect), { default = {}, doc = "ports of the machine that lead to others" }),
		rules = schema.list(schema.string { pattern = "^[%w ,./:-]+$", max = 500, what = "a rule such as 'family 4 saddr 192.0.2.0/24 accept'" },
			{ default = {}, doc = "more, before the rest is refused: matches and what happens, in the words of doc/services.md" }),
	},
	check = function(s)
		for i, rule in ipairs(s.rules) do
			if rule:find("^%s*accept%s*$") then
				return "lets everything in: say what is let in, or leave the firewall out", "rules[" .. i .. "]"
			end
			local flaw = packet_rules(rule)
			if flaw then
				return flaw, "rules[" .. i .. "]"
			end
		end
		for i, o in ipairs(s.open) do
			local first, last, protocol = parse(type(o) == "table" and o.port or o)
			if closes(s, protocol, first) or closes(s, protocol, last) then
				return "is among those of closed", "open[" .. i .. "]"
			end
			if first == 1 and last == 65535 and (type(o) ~= "table" or not o.from and not o.interface) then
				return "opens all ports for everybody: say which, or leave the firewall out", "open[" .. i .. "]"
			end
		end
		if #s.masquerade > 0 and #s.forward + #s.redirects == 0 then
			return "nothing is passed on that could leave there [forward = { { from = INTERFACE, to = \"" .. s.masquerade[1]
				.. "\" } } says what is]", "masquerade"
		end
	end,
	extend = function(s)
		for i, r in ipairs(s.redirects) do
			local first, last = parse(r.port)
			local _, port = target(r.to)
			if port and first < last then
				schema.warn(s, ("all ports from %d to %d lead to the one port %s [without :%s each leads to its own]"):format(first, last, port, port),
					"redirects[" .. i .. "]")
			end
		end
		local nftload = require "packages.nftload" .. "/sbin/nftload"
		local file = checked(rules(s), nftload)
		local router = #s.forward + #s.masquerade + #s.redirects > 0
		local load = { nftload, "firewall", "/etc/firewall" }
		return {
			profile = { require "packages.nftload" }, kernel_modules = MODULES, etc = { firewall = file },
			filters = {
				{
					advice = advice,
					closes = function(protocol, port)
						return closes(s, protocol, port)
					end,
					lets_in = function(protocol, port)
						return lets_in(s, protocol, port)
					end,
				},
			},
			sysctl = router and { ["net.ipv4.ip_forward"] = 1, ["net.ipv6.conf.all.forwarding"] = 1 } or {},
			init = {
				{
					name = "firewall", type = "oneshot", description = "packet filter",
					exec = load, reload_exec = load, reload_triggers = { tostring(file) }, stop_exec = { nftload, "--remove", "firewall" },
					requires = { "activation" }, after = { "kernel-modules", "sysctl" }, before = { "base" },
					capabilities = { "default", "net_admin" },
				},
			},
		}
	end,
}
