-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Files of packages that a configuration names. Whether a package has one is known when it is built: the script that makes the
-- services looks, so that what is not there becomes no generation.

local M = {}

-- For a shell: $files has lines of kind, path, and who names it.
M.SCRIPT = [[
all=yes
while IFS="	" read -r kind path who; do
	case $kind in
	program) [ -f "$path" ] && [ -x "$path" ] ;;
	file) [ -f "$path" ] ;;
	directory) [ -d "$path" ] ;;
	esac || { echo "$who: there is no $kind $path" >&2; all=no; }
done <<END
$files
END
[ $all = yes ]
]]

local PROFILE = "^/run/current%-system/profile(/.*)"

-- Text for $files. who: the accounts of the system; list: its services of PID 1; programs: those with privileges; firmware:
-- packages; profile: the item that has the packages' programs.
function M.files(os, who, list, programs, firmware, profile)
	local lines, seen = {}, {}
	local function add(kind, path, what)
		local of_profile = path:match(PROFILE)
		path = of_profile and profile .. of_profile or path
		-- What is in no package is the machine's own.
		if path:find("^\1") and not path:find("[\3-\31\127]") and not seen[kind .. path] then
			seen[kind .. path] = true
			lines[#lines + 1] = kind .. "\t" .. path .. "\t" .. what
		end
	end
	for _, u in ipairs(who.users) do
		add("program", u.shell, "users › " .. u.name .. " › shell")
	end
	for _, s in ipairs(list) do
		for _, field in ipairs(s.root_directory and {} or { "exec", "stop_exec", "reload_exec" }) do
			local path = (s[field] or {})[1] or ""
			-- PID 1 puts the instance of a template there.
			if not (s.name:find("@$") and path:find("%", 1, true)) then
				add("program", path, "service '" .. s.name .. "' › " .. field)
			end
		end
	end
	for _, p in ipairs(programs) do
		add("program", p.program, "privileged_programs › " .. p.name .. " › program")
	end
	for _, p in ipairs(firmware) do
		add("directory", p .. "/lib/firmware", "firmware")
	end
	add("file", os.console_font or "", "console_font")
	return table.concat(lines, "\n")
end

return M
