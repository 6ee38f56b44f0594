-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Rules of a packet filter as people write them, for services.firewall: what nftload would not take is found when a configuration
-- is evaluated, and so is what the kernel takes and never applies.

local network = require "system.network"

local PROTOCOLS, STATES = { "tcp", "udp", "icmp", "icmpv6" }, { "established", "related", "invalid", "new" }

local function one_of(names, word, what)
	for _, name in ipairs(names) do
		if name == word then
			return nil
		end
	end
	return ("'%s' is not %s%s"):format(word, what, schema.suggestion(word, names))
end

local function number(text, max)
	return text:find("^%d+$") and #text <= 7 and tonumber(text) <= max
end

local function interface(_, name)
	return #name > 15 and "'" .. name .. "' is longer than a name of an interface" or nil
end

-- Of an address; seen: the words before, by the match they belong to.
local function addresses(seen, text)
	local address, bits = text:match("^([^/]+)/(%d+)$")
	local family = address and network.family(address)
	if not family or not number(bits, family == 4 and 32 or 128) then
		return ("'%s' is not a network, ADDRESS/BITS [of one address /32, or /128 of IPv6]"):format(text)
	elseif not seen.family then
		return ("an address is looked at where its family was looked at before [family %d saddr …]"):format(family)
	elseif seen.family ~= tostring(family) then
		return ("'%s' is never of family %s"):format(text, seen.family)
	end
end

local function belongs(seen, word, ...)
	local names = { ... }
	for _, name in ipairs(names) do
		if seen.proto == name then
			return nil
		end
	end
	return ("'%s' is for packets of %s [proto %s %s …]"):format(word, table.concat(names, " and "), names[1], word)
end

-- What a match says of the words behind it, or nil; each has one but limit.
local MATCHES = {
	iif = interface, oif = interface, saddr = addresses, daddr = addresses,
	family = function(_, word)
		return word ~= "4" and word ~= "6" and "'" .. word .. "' is no family, 4 or 6" or nil
	end,
	proto = function(_, word)
		return one_of(PROTOCOLS, word, "a protocol: tcp, udp, icmp or icmpv6")
	end,
	dport = function(seen, text)
		local first, last = text:match("^(%d+)%-(%d+)$")
		if number(text, 65535) then
			return ("'%s' is not FIRST-LAST [%s-%s]"):format(text, text, text)
		elseif not first or not number(first, 65535) or not number(last, 65535) then
			return "'" .. text .. "' is not FIRST-LAST, two ports up to 65535"
		elseif tonumber(first) > tonumber(last) then
			return "'" .. text .. "' goes backwards"
		end
		return belongs(seen, "dport", "tcp", "udp")
	end,
	type = function(seen, text)
		return not number(text, 255) and "'" .. text .. "' is not a number up to 255" or belongs(seen, "type", "icmp", "icmpv6")
	end,
	state = function(_, list)
		for word in list:gmatch("[^,]+") do
			local flaw = one_of(STATES, word, "a state of connections: established, related, invalid or new")
			if flaw then
				return flaw
			end
		end
		return not list:find("[^,]") and "the state is missing" or nil
	end,
	status = function(_, word)
		return one_of({ "dnat" }, word, "dnat")
	end,
	limit = function(_, rate, burst)
		local n, unit = rate:match("^(%d+)/(%l+)$")
		if not n or not number(n, 1000000) or one_of({ "second", "minute", "hour" }, unit, "") then
			return "'" .. rate .. "' is not N/second, N/minute or N/hour"
		elseif not burst or not number(burst, 1000000) then
			return "how many may come at once is missing: limit N/minute BURST"
		end
	end,
	log = function()
	end,
}

local ENDS = { accept = true, drop = true, reject = true, reset = true, continue = true }

local WORDS = {}
for _, words in ipairs { MATCHES, ENDS } do
	for word in pairs(words) do
		WORDS[#WORDS + 1] = word
	end
end

local WORDS_MAX = 64

-- What is wrong with a rule for what comes in; nil: nothing.
return function(rule)
	local words, seen, i = {}, {}, 1
	for word in rule:gmatch("%S+") do
		words[#words + 1] = word
	end
	if #words > WORDS_MAX - 2 then
		return "has more than " .. WORDS_MAX - 2 .. " words"
	end
	while MATCHES[words[i]] do
		local word, value = words[i], words[i + 1]
		local flaw = not value and "'" .. word .. "' says nothing: a word is missing" or MATCHES[word](seen, value, words[i + 2])
		if flaw then
			return flaw
		end
		seen[word] = value
		i = i + (word == "limit" and 3 or 2)
	end
	local last = words[i]
	if not last then
		return "what happens is missing: accept, drop, reject, reset or continue"
	elseif not ENDS[last] then
		return "unknown word '" .. last .. "'" .. schema.suggestion(last, WORDS)
	elseif words[i + 1] then
		return "'" .. words[i + 1] .. "' stands behind what happens"
	elseif last == "reset" then
		return belongs(seen, "reset", "tcp")
	end
end
