-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the service types of networks share: types of addresses and names, and scripts.

local tools = require "system.tools"

local M = {}

local function with(options, more)
	for k, v in pairs(options or {}) do
		more[k] = v
	end
	return more
end

local function v4(text)
	local parts = { text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$") }
	if #parts ~= 4 then
		return false
	end
	for _, part in ipairs(parts) do
		if #part > 3 or tonumber(part) > 255 then
			return false
		end
	end
	return true
end

-- Groups of four digits, one "::" at most, an address of IPv4 at the end or none.
local function v6(text)
	if not text:find("^[%x:.]+$") or not text:find(":", 1, true) then
		return false
	end
	local last = text:match("([^:]*)$")
	if last:find(".", 1, true) then
		if not v4(last) then
			return false
		end
		text = text:sub(1, #text - #last) .. "0:0"
	end
	local short, count = select(2, text:gsub("::", "::")), 0
	if short > 1 or text:find(":::", 1, true) or text:find("^:[^:]") or text:find("[^:]:$") then
		return false
	end
	for group in text:gmatch("[^:]+") do
		count = count + 1
		if not group:find("^%x%x?%x?%x?$") then
			return false
		end
	end
	return short == 1 and count < 8 or count == 8
end

-- 4, 6, or nothing when text is no address.
function M.family(text)
	return v4(text) and 4 or v6(text) and 6 or nil
end

local function check_address(text)
	if not M.family(text) then
		return "'" .. text .. "' is not an address such as 192.0.2.1 or 2001:db8::1"
	end
end

local function check_prefix(text)
	local address, bits = text:match("^([^/]*)/(%d+)$")
	local family = address and M.family(address)
	if not family or #bits > 3 or tonumber(bits) > (family == 4 and 32 or 128) then
		return "'" .. text .. "' is not an address with prefix such as 192.0.2.5/24 or 2001:db8::5/64"
	end
end

-- Family of an address with or without prefix.
function M.family_of(text)
	return M.family(text:match("^[^/]*"))
end

-- The bytes of an address, as numbers.
local function bytes(address)
	local out = {}
	local function four(text)
		for part in text:gmatch("%d+") do
			out[#out + 1] = math.tointeger(tonumber(part))
		end
	end
	if v4(address) then
		four(address)
		return out
	end
	local function groups(text)
		for group in text:gmatch("[^:]+") do
			if group:find(".", 1, true) then
				four(group)
			else
				local n = tonumber(group, 16)
				out[#out + 1], out[#out + 2] = n // 256, n % 256
			end
		end
	end
	local left, right = address:match("^(.-)::(.*)$")
	groups(left or address)
	if left then
		local before = #out
		groups(right)
		local after = table.move(out, before + 1, #out, 1, {})
		for i = before + 1, 16 do
			out[i] = 0
		end
		table.move(after, 1, #after, 17 - #after, out)
	end
	return out
end

-- Bits of byte i that belong to a network of so many bits.
local function mask(bits, i)
	return 0xff & ~(0xff >> math.max(0, math.min(8, bits - 8 * (i - 1))))
end

-- Whether an address lies in the network of an address with prefix.
function M.contains(prefix, address)
	local base, bits = prefix:match("^([^/]*)/(%d+)$")
	if M.family(base) ~= M.family(address) then
		return false
	end
	local a, b = bytes(base), bytes(address)
	bits = math.tointeger(tonumber(bits))
	for i = 1, #a do
		if a[i] & mask(bits, i) ~= b[i] & mask(bits, i) then
			return false
		end
	end
	return true
end

-- The same text for the same address.
function M.plain(address)
	return table.concat(bytes(address), ".")
end

-- The network that an address with prefix is in.
local function network_of(address, bits)
	local all, out = bytes(address), {}
	for i, byte in ipairs(all) do
		all[i] = byte & mask(bits, i)
	end
	if #all == 4 then
		return table.concat(all, ".") .. "/" .. bits
	end
	for i = 1, 16, 2 do
		out[#out + 1] = ("%x"):format(all[i] << 8 | all[i + 1])
	end
	-- What ends a network are groups of 0.
	return (table.concat(out, ":"):gsub(":0[:0]*$", "::"):gsub("^0::$", "::")) .. "/" .. bits
end

local function check_network(text)
	local flaw = check_prefix(text)
	if flaw then
		return flaw
	end
	local address, bits = text:match("^(.*)/(%d+)$")
	local network = network_of(address, math.tointeger(tonumber(bits)))
	if M.plain(network:match("^[^/]*")) ~= M.plain(address) then
		return "'" .. text .. "' is an address in the network " .. network .. " [name the network, or the address without /" .. bits .. "]"
	end
end

function M.address(options)
	return schema.string(with(options, { check = check_address, what = "an address" }))
end

function M.prefix(options)
	return schema.string(with(options, { check = check_prefix, what = "an address with prefix" }))
end

-- A network, or one address.
function M.source(options)
	return schema.string(with(options, { what = "an address or network",
		check = function(text)
			return text:find("/", 1, true) and check_prefix(text) or not text:find("/", 1, true) and check_address(text) or nil
		end }))
end

-- What a route leads to: a network, or one address. The kernel takes no route to an address in a network.
function M.destination(options)
	return schema.string(with(options, { what = "an address or network",
		check = function(text)
			return (text:find("/", 1, true) and check_network or check_address)(text)
		end }))
end

-- The kernel's names of interfaces have 15 letters at most.
function M.interface(options)
	return schema.string(with(options, { pattern = "^[%w_][%w_.-]*$", max = 15, what = "the name of a network interface" }))
end

function M.port(options)
	return schema.integer(with(options, { min = 1, max = 65535 }))
end

-- Name or address of a machine.
function M.host(options)
	return schema.string(with(options, { pattern = "^[%w][%w.:-]*$", max = 253, what = "a name or address" }))
end

-- Interfaces that are made, not cards.
local function made(os)
	local names = { lo = true }
	for _, s in ipairs(os.services) do
		local kind = schema.name(s)
		if kind == "wireguard" then
			names[s.interface] = true
		elseif kind == "static_network" and s.link then
			names[s.interface] = true
			names[s.link.peer or s.interface] = true
		end
	end
	return names
end

-- Whether two services that name an interface or leave it to the first card may come to the same one.
function M.may_share(a, b, os)
	if a.interface and b.interface or a.interface == b.interface then
		return a.interface == b.interface
	end
	return not made(os)[a.interface or b.interface]
end

-- Whether a machine passes packets of IPv6 on.
function M.is_router(os)
	for _, s in ipairs(os.services) do
		if schema.name(s) == "firewall" and #s.forward + #s.redirects > 0 then
			return true
		end
	end
	return tostring(os.sysctl["net.ipv6.conf.all.forwarding"] or 0) ~= "0"
end

-- An executable script of the store. @NAME@ in contents becomes values.NAME, @busybox@ the path of busybox.
function M.script(name, contents, values)
	local busybox = tools.busybox .. "/bin/busybox"
	return text(name, (contents:gsub("@(%l+)@", function(key)
		local value = key == "busybox" and busybox or (values or {})[key]
		return value ~= nil and tostring(value) or nil
	end)), { executable = true, busybox = busybox })
end

-- Waits until the interface $name is there; "-" is the first card that is not virtual.
M.WAIT = [[
tries=15
while :; do
	if [ "$name" = - ]; then
		for i in /sys/class/net/*; do
			[ ! -e "$i/device" ] || { name=${i##*/}; break; }
		done
	fi
	[ ! -e "/sys/class/net/$name" ] || break
	tries=$((tries - 1))
	[ $tries -gt 0 ] || { echo "there is no network card $name"; exit 1; }
	$b sleep 1
done
]]

return M
