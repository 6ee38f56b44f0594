-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- An interface with fixed addresses: a network card, or a link that is made (VLAN, bridge, …).

local network = require "system.network"
local service = require "system.service"

local KINDS = { "vlan", "bridge", "dummy", "veth" }
local MODULES = { vlan = "8021q", bridge = "bridge", dummy = "dummy", veth = "veth" }

-- Each field that belongs to one kind of link alone, and whether that kind needs it.
local OF_KIND = { parent = "vlan", id = "vlan", ports = "bridge", peer = "veth" }
local NEEDED = { vlan = { "parent", "id" }, veth = { "peer" } }

local link = schema.record("link", {
	kind = schema.enum(KINDS, { doc = "what it is" }),
	parent = network.interface { optional = true, doc = "vlan: the interface whose frames carry the tag" },
	id = schema.integer { optional = true, min = 1, max = 4094, doc = "vlan: the tag" },
	ports = schema.list(network.interface {}, { default = {}, unique = true, doc = "bridge: interfaces that it joins" }),
	peer = network.interface { optional = true, doc = "veth: the name of its other end" },
}, {
	doc = "an interface that is made",
	check = function(l)
		for field, kind in pairs(OF_KIND) do
			local v = l[field]
			if l.kind ~= kind and v ~= nil and not (type(v) == "table" and #v == 0) then
				return "belongs to a " .. kind .. ", and this is a " .. l.kind, field
			end
		end
		for _, field in ipairs(NEEDED[l.kind] or {}) do
			if l[field] == nil then
				return "a " .. l.kind .. " needs it", field
			end
		end
	end,
})

local route = schema.record("route", {
	to = network.destination { doc = "a network" },
	via = network.address { optional = true, doc = "the router; left out: it is reached directly" },
	metric = schema.integer { optional = true, min = 0, max = 4294967295, doc = "of several the lowest counts" },
	source = network.address { optional = true, doc = "the machine's own address for it" },
}, {
	doc = "a way to a network",
	check = function(r)
		for _, field in ipairs { "via", "source" } do
			if r[field] and network.family(r[field]) ~= network.family_of(r.to) then
				return "is of another family than " .. r.to, field
			end
		end
	end,
})

local START = [[
#!@busybox@ sh
# An address or a route that is there already is put in place once more without harm.
b=@busybox@
name=@name@
@make@@wait@@before@
@up@
address() {
	$b ip addr replace "$1" dev "$name" || exit 1
}
@addresses@
# Nobody can use an address of IPv6 while it is looked whether somebody else has it.
tries=25
while [ $tries -gt 0 ] && $b ip -6 addr show dev "$name" | $b grep -q "scope global.*tentative"; do
	$b usleep 200000
	tries=$((tries - 1))
done
@routes@
exit 0
]]

local STOP = [[
#!@busybox@ sh
b=@busybox@
name=@name@
@stop@
]]

-- The other end has a name of the kernel's choice at first.
local VETH = [[
	for i in /sys/class/net/*; do
		[ "$($b cat "$i/ifindex" 2>/dev/null)" != "$($b cat "/sys/class/net/$name/iflink")" ] || other=${i##*/}
	done
	$b ip link set dev "$other" name @peer@ && $b ip link set dev @peer@ up || exit 1
]]

-- A VLAN cannot be up before its parent is.
local function parent(s)
	if s.link.kind ~= "vlan" then
		return ""
	end
	return "name=" .. s.link.parent .. "\n" .. network.WAIT
		.. (s.up and '$b ip link set dev "$name" up || exit 1\n' or "") .. "name=" .. s.interface .. "\n"
end

local function make(s)
	local l = s.link
	if not l then
		return ""
	end
	local how = "name \"$name\" type " .. l.kind
	if l.kind == "vlan" then
		how = "link " .. l.parent .. " name \"$name\" type vlan id " .. l.id
	end
	local out = parent(s) .. 'if [ ! -e "/sys/class/net/$name" ]; then\n\t$b ip link add ' .. how .. " || exit 1\n"
	if l.kind == "veth" then
		out = out .. VETH:gsub("@peer@", l.peer)
	end
	return out .. "fi\n"
end

-- Interfaces that must be there before.
local function wait(s)
	local out = {}
	local function add(name)
		out[#out + 1] = "name=" .. name .. "\n" .. network.WAIT
	end
	if s.link then
		for _, port in ipairs(s.link.ports) do
			add(port)
			out[#out + 1] = "$b ip link set dev " .. port .. " master " .. s.interface .. " && $b ip link set dev " .. port .. " up || exit 1\n"
		end
		out[#out + 1] = "name=" .. s.interface
		return table.concat(out)
	end
	return network.WAIT
end

local function lines(list, format)
	local out = {}
	for i, v in ipairs(list) do
		out[i] = format(v)
	end
	return table.concat(out, "\n")
end

-- All routes, the gateways among them.
local function routes(s)
	local all = {}
	for _, gateway in ipairs(s.gateway or {}) do
		all[#all + 1] = { to = network.family(gateway) == 4 and "0.0.0.0/0" or "::/0", via = gateway }
	end
	for _, r in ipairs(s.routes) do
		all[#all + 1] = r
	end
	return all
end

local function route_words(r)
	local words = { r.to }
	for _, pair in ipairs { { "via", r.via }, { "src", r.source }, { "metric", r.metric } } do
		if pair[2] then
			words[#words + 1] = pair[1] .. " " .. pair[2]
		end
	end
	return table.concat(words, " ")
end

local function stop(s)
	if s.link then
		return '[ ! -e "/sys/class/net/$name" ] || $b ip link del "$name" type ' .. s.link.kind
	end
	-- Without a name it is not known any more which card was the first.
	local out = { "for i in /sys/class/net/*; do\n\ti=${i##*/}\n" }
	if s.interface then
		out[1] = "for i in $name; do\n\t[ -e \"/sys/class/net/$i\" ] || continue\n"
	end
	for _, r in ipairs(routes(s)) do
		if r.to:find("^[%x.:]+/0$") == nil then
			out[#out + 1] = "\t$b ip -" .. network.family_of(r.to) .. " route del " .. route_words(r) .. ' dev "$i" 2>/dev/null\n'
		end
	end
	for _, a in ipairs(s.addresses) do
		out[#out + 1] = "\t$b ip addr del " .. a .. ' dev "$i" 2>/dev/null\n'
	end
	return table.concat(out) .. "done\nexit 0"
end

-- A router must be reached without another: in a network of an address, by a route that needs none, or on the wire alone.
local function reached(s, router)
	if router:lower():find("^fe[89ab]") then
		return true
	end
	for _, a in ipairs(s.addresses) do
		if network.contains(a, router) then
			return true
		end
	end
	for _, r in ipairs(s.routes) do
		if not r.via and network.contains(r.to:find("/", 1, true) and r.to or r.to .. (network.family(r.to) == 4 and "/32" or "/128"), router) then
			return true
		end
	end
	return false
end

local function gateways(s)
	return type(s.gateway) == "string" and { s.gateway } or s.gateway or {}
end

-- What the kernel would refuse, or what cannot work.
local function flaw(s)
	local families, own = {}, {}
	for _, a in ipairs(s.addresses) do
		local plain = network.plain(a:match("^[^/]*"))
		if own[plain] then
			return "'" .. a:match("^[^/]*") .. "' stands there twice", "addresses"
		end
		own[plain] = true
	end
	for _, router in ipairs(gateways(s)) do
		local family = network.family(router)
		if families[family] then
			return "there are two of IPv" .. family, "gateway"
		elseif own[network.plain(router)] then
			return "'" .. router .. "' is the machine's own address", "gateway"
		elseif not reached(s, router) then
			return "'" .. router .. "' is in no network of addresses; reach it by routes = { { to = \"" .. router .. "\" } }", "gateway"
		end
		families[family] = true
	end
	for i, r in ipairs(#s.addresses > 0 and s.routes or {}) do
		if r.via and not reached(s, r.via) then
			return "via: '" .. r.via .. "' is in no network of addresses, and no route leads to it", "routes[" .. i .. "]"
		end
	end
end

local function fail_beside(s, other, message, field)
	schema.fail(s, message .. " [" .. schema.location(other) .. "]", field)
end

-- Whether it has an address that a lease would take away.
local function has_v4(s)
	for _, a in ipairs(s.addresses) do
		if network.family_of(a) == 4 then
			return true
		end
	end
	return false
end

local CARDS = "name the card of each: interface = …"

-- What to do about DHCP of a port, which a bridge has: the lease is the bridge's, if anything's.
local function advice_of_port(s, dhcp)
	return not dhcp.interface and CARDS or has_v4(s) and "leave it out" or 'let it ask at the bridge: interface = "' .. s.interface .. '"'
end

-- What the interfaces that a link is made of are, besides.
local function check_link(s, os)
	for _, other in ipairs(os.services) do
		local kind = schema.name(other)
		for _, port in ipairs(s.link.ports) do
			if kind == "dhcp" and network.may_share({ interface = port }, other, os) then
				fail_beside(s, other, "what comes in at " .. port .. " is for the bridge, and DHCP of " .. (other.interface or "the first card")
					.. " would ask there " .. service.hint(other, advice_of_port(s, other)), "link › ports")
			elseif kind == "static_network" and other ~= s and other.link then
				for _, taken in ipairs(other.link.ports) do
					if taken == port then
						fail_beside(s, other, "'" .. port .. "' is a port of " .. other.interface .. ", and of one bridge at most", "link › ports")
					end
				end
			end
		end
		if kind == "static_network" and s.up and not other.up and s.link.parent and other.interface == s.link.parent then
			fail_beside(s, other, "'" .. s.link.parent .. "' is left switched off, and so would be the VLAN [up = true there, or up = false here]",
				"link › parent")
		end
	end
end

-- What the rest of the system says otherwise.
local function check_others(s, os)
	if #s.name_servers > 0 and #os.name_servers > 0 then
		fail_beside(s, os, "the system has name_servers, too, and there is one /etc/resolv.conf; leave out one of them", "name_servers")
	end
	for _, other in ipairs(os.services) do
		local kind = schema.name(other)
		if kind == "dhcp" and has_v4(s) and network.may_share(s, other, os) then
			fail_beside(s, other, "DHCP of " .. (other.interface or "the first card") .. " takes all other addresses of IPv4 away "
				.. service.hint(other, CARDS), "addresses")
		elseif kind == "static_network" and other ~= s then
			for _, a in ipairs(s.addresses) do
				for _, b in ipairs(other.addresses) do
					local one = a:match("^[^/]*")
					if network.plain(one) == network.plain(b:match("^[^/]*")) then
						fail_beside(s, other, "another interface has the address " .. one, "addresses")
					end
				end
			end
		end
	end
end

return service.service_type {
	name = "static_network", many = true,
	doc = "an interface with fixed addresses",
	keywords = "network internet ethernet ip dns vlan bridge gateway route",
	example = [[
services.static_network {
	interface = "lan.5", link = { kind = "vlan", parent = "eth0", id = 5 },
	addresses = { "192.0.2.5/24", "2001:db8::5/64" }, gateway = { "192.0.2.1", "2001:db8::1" },
	routes = { { to = "198.51.100.0/24", via = "192.0.2.7" } },
}]],
	fields = {
		interface = network.interface { optional = true, doc = "left out: the first network card there is" },
		link = schema.of(link, { optional = true, doc = "makes the interface; left out: a network card" }),
		address = network.prefix { optional = true, doc = "short for addresses with one of them" },
		addresses = schema.list(network.prefix {}, {
			unique = true, doc = "of IPv4 and IPv6", default_doc = "that of address",
			default = function(s)
				return { s.address }
			end,
		}),
		gateway = schema.one_of({ network.address {}, schema.list(network.address {}, { max = 2 }) },
			{ optional = true, doc = "the router to everywhere: an address, or one of each family" }),
		routes = schema.list(schema.of(route), { default = {}, doc = "ways to other networks" }),
		mtu = schema.integer { optional = true, min = 68, max = 65535, doc = "size of packets" },
		mac = schema.string { optional = true, pattern = "^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$", what = "an address such as 02:00:00:00:00:01",
			doc = "the hardware's address" },
		up = schema.boolean { default = true, doc = "no: it is left switched off" },
		name_servers = schema.list(network.address {}, { default = {}, doc = "written into /etc/resolv.conf; of one service at most" }),
		search = schema.list(schema.string { pattern = "^[%w.-]+$", what = "a domain" }, { default = {}, doc = "domains of short names" }),
	},
	check = function(s)
		if s.address and #s.addresses ~= 1 or s.address and s.addresses[1] ~= s.address then
			return "there is an address, too", "addresses"
		elseif s.link and not s.interface then
			return "a link that is made needs a name", "interface"
		elseif #s.search > 0 and #s.name_servers == 0 then
			return "is of use with name_servers only", "search"
		end
		return flaw(s)
	end,
	extend = function(s, os)
		check_others(s, os)
		if s.link then
			check_link(s, os)
		end
		if type(s.gateway) == "string" then
			s = s:with { gateway = { s.gateway } }
		end
		local name = s.interface and "network@" .. s.interface or "network"
		local before, up = {}, {}
		if s.mac then
			before[#before + 1] = "$b ip link set dev \"$name\" address " .. s.mac .. " || exit 1"
		end
		if s.mtu then
			before[#before + 1] = "$b ip link set dev \"$name\" mtu " .. s.mtu .. " || exit 1"
		end
		if s.up then
			up[1] = '$b ip link set dev "$name" up || exit 1'
		end
		local after = { "firewall", "kernel-modules", "wifi@" .. (s.interface or "wlan0") }
		for _, other in ipairs { s.link and s.link.parent or false, table.unpack(s.link and s.link.ports or {}) } do
			if other then
				after[#after + 1] = "network@" .. other
			end
		end
		local etc = {}
		if #s.name_servers > 0 then
			etc["resolv.conf"] = (#s.search > 0 and "search " .. table.concat(s.search, " ") .. "\n" or "")
				.. lines(s.name_servers, function(a) return "nameserver " .. a end) .. "\n"
		end
		return {
			etc = etc, network = { name }, kernel_modules = s.link and { MODULES[s.link.kind] } or {},
			init = {
				{
					name = name, type = "oneshot",
					description = "network " .. (#s.addresses > 0 and "address " .. table.concat(s.addresses, ", ") or "interface"),
					exec = {
						network.script("network-start", START, {
							name = s.interface or "-", make = make(s), wait = wait(s),
							before = table.concat(before, "\n"), up = table.concat(up, "\n"),
							addresses = lines(s.addresses, function(a) return "address " .. a end),
							routes = lines(routes(s), function(r)
								return "$b ip -" .. network.family_of(r.to) .. " route replace " .. route_words(r) .. ' dev "$name" || exit 1'
							end),
						}),
					},
					stop_exec = { network.script("network-stop", STOP, { name = s.interface or "-", stop = stop(s) }) },
					requires = { "activation" }, wants = { "loopback", "file-systems" }, after = after,
					restart = "on-failure", restart_limit = 0, restart_delay = "1s",
					-- To set the hardware's address busybox asks a socket for packets what kind it is of.
					capabilities = { "default", "net_admin" }, seccomp = "service-packet",
				},
			},
		}
	end,
}
