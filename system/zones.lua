-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Time zones as rules (POSIX "TZ" text), and /etc/localtime made from such a rule: a file of format
-- TZif that has no transitions of its own, only the rule that holds ever since.

local zones = {}

local CET, EET, WET = "CET-1CEST,M3.5.0,M10.5.0/3", "EET-2EEST,M3.5.0/3,M10.5.0/4", "WET0WEST,M3.5.0/1,M10.5.0"
local US = ",M3.2.0,M11.1.0"

zones.rules = {
	["UTC"] = "UTC0", ["Etc/UTC"] = "UTC0", ["GMT"] = "GMT0",
	["Europe/Amsterdam"] = CET, ["Europe/Berlin"] = CET, ["Europe/Brussels"] = CET,
	["Europe/Copenhagen"] = CET, ["Europe/Madrid"] = CET, ["Europe/Oslo"] = CET,
	["Europe/Paris"] = CET, ["Europe/Prague"] = CET, ["Europe/Rome"] = CET,
	["Europe/Stockholm"] = CET, ["Europe/Vienna"] = CET, ["Europe/Warsaw"] = CET,
	["Europe/Zurich"] = CET, ["Europe/Budapest"] = CET, ["Europe/Belgrade"] = CET,
	["Europe/Athens"] = EET, ["Europe/Helsinki"] = EET, ["Europe/Kyiv"] = EET,
	["Europe/Bucharest"] = EET, ["Europe/Sofia"] = EET, ["Europe/Riga"] = EET,
	["Europe/Lisbon"] = WET, ["Europe/London"] = "GMT0BST,M3.5.0/1,M10.5.0",
	["Europe/Dublin"] = "IST-1GMT0,M10.5.0,M3.5.0/1", ["Europe/Istanbul"] = "<+03>-3",
	["Europe/Moscow"] = "MSK-3", ["Africa/Cairo"] = "EET-2EEST,M4.5.5/0,M10.5.4/24",
	["Africa/Johannesburg"] = "SAST-2", ["Africa/Lagos"] = "WAT-1", ["Africa/Nairobi"] = "EAT-3",
	["America/New_York"] = "EST5EDT" .. US, ["America/Chicago"] = "CST6CDT" .. US,
	["America/Denver"] = "MST7MDT" .. US, ["America/Los_Angeles"] = "PST8PDT" .. US,
	["America/Phoenix"] = "MST7", ["America/Anchorage"] = "AKST9AKDT" .. US,
	["America/Toronto"] = "EST5EDT" .. US, ["America/Vancouver"] = "PST8PDT" .. US,
	["America/Sao_Paulo"] = "<-03>3", ["America/Argentina/Buenos_Aires"] = "<-03>3",
	["America/Bogota"] = "<-05>5", ["America/Mexico_City"] = "CST6",
	["Asia/Dubai"] = "<+04>-4", ["Asia/Karachi"] = "PKT-5", ["Asia/Kolkata"] = "IST-5:30",
	["Asia/Dhaka"] = "<+06>-6", ["Asia/Bangkok"] = "<+07>-7", ["Asia/Jakarta"] = "WIB-7",
	["Asia/Singapore"] = "<+08>-8", ["Asia/Hong_Kong"] = "HKT-8", ["Asia/Shanghai"] = "CST-8",
	["Asia/Taipei"] = "CST-8", ["Asia/Manila"] = "PST-8", ["Asia/Seoul"] = "KST-9",
	["Asia/Tokyo"] = "JST-9", ["Australia/Perth"] = "AWST-8", ["Australia/Brisbane"] = "AEST-10",
	["Australia/Sydney"] = "AEST-10AEDT,M10.1.0,M4.1.0/3",
	["Australia/Melbourne"] = "AEST-10AEDT,M10.1.0,M4.1.0/3",
	["Pacific/Auckland"] = "NZST-12NZDT,M9.5.0,M4.1.0/3", ["Pacific/Honolulu"] = "HST10",
}

-- The parts of a rule (POSIX, "TZ"): what follows the one that s begins with, or nil.
local function after_name(s)
	return s:match("^%a%a%a+(.*)$") or s:match("^<[%w+-]+>(.*)$")
end

local function after_time(s, hours_max)
	local hours, rest = s:match("^[+-]?(%d%d?%d?)(.*)$")
	if not hours or tonumber(hours) > hours_max then
		return nil
	end
	for _ = 1, 2 do -- minutes, seconds
		local part, more = rest:match("^:([0-5]%d)(.*)$")
		rest = part and more or rest
	end
	return rest
end

local function after_date(s)
	local month, week, day, rest = s:match("^,M(%d%d?)%.([1-5])%.([0-6])(.*)$")
	if not month then
		day, rest = s:match("^,J?(%d%d?%d?)(.*)$")
	end
	if not day or tonumber(month or 1) < 1 or tonumber(month or 1) > 12 or not week and tonumber(day) > 365 or s:find("^,J0+%f[%D]") then
		return nil
	end
	return rest:find("^/") and after_time(rest:sub(2), 167) or not rest:find("^/") and rest or nil
end

-- What has summer time says when: it is not the same everywhere.
local function is_rule(s)
	local rest = after_name(s)
	rest = rest and after_time(rest, 24)
	if not rest or rest == "" then
		return rest == ""
	end
	rest = after_name(rest)
	if rest and not rest:find("^,") then
		rest = after_time(rest, 24)
	end
	rest = rest and after_date(rest)
	rest = rest and after_date(rest)
	return rest == ""
end

-- The rule for a zone's name, or for a rule; nil when it is neither.
function zones.rule(name)
	if zones.rules[name] then
		return zones.rules[name]
	end
	return is_rule(name) and name or nil
end

local function hex(s)
	return (s:gsub(".", function(c)
		return string.format("%02x", c:byte())
	end))
end

-- Twice, for version 1 and 2: header of six counts, one change in 1901 (without any, some C libraries
-- ignore the rule), the type it changes to (UTC), its name.
function zones.file_hex(rule)
	local head = hex("TZif2") .. string.rep("00", 15) .. string.rep("00000000", 3) .. "00000001" .. "00000001" .. "00000004"
	local body = "00" .. "00000000" .. "00" .. "00" .. hex("UTC") .. "00"
	return head .. "80000000" .. body .. head .. "ffffffff80000000" .. body .. hex("\n" .. rule .. "\n")
end

return zones
