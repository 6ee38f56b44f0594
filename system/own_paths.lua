-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What of the file tree is the system's own: directories that all others need as they are, and trees that it alone writes to.

local M = {}

local function set(words)
	local out = {}
	for path in words:gmatch("%S+") do
		out[path] = true
	end
	return out
end

local DIRECTORIES = set "/ /bin /boot /dev /etc /gnu /home /lib /proc /root /run /sys /usr /usr/bin /var /var/guix /var/lib"
-- What lies there need not stay.
local SHARED = set "/dev/shm /tmp /var/cache /var/empty /var/log /var/log/cairn /var/tmp"
-- For all, each his own files.
local COMMON = set "/dev/shm /tmp /var/tmp"
-- Who closes these keeps nothing from anybody that he needs, or, of /home, names alone.
local CLOSED = { ["/boot"] = 0, ["/home"] = tonumber("0111", 8), ["/root"] = 0 }
local OPEN = tonumber("0555", 8)
local TREES = { "/boot", "/etc/static", "/gnu", "/proc", "/run/cairn", "/run/privileged", "/run/secrets", "/sys", "/var/guix", "/var/lib/cairn" }
-- Directories whose files and links are.
local FILES = { "/bin", "/dev", "/etc", "/lib", "/sbin", "/usr" }

-- A file system there hides what runs.
local RUNNING = set "/dev /proc /run /sys /sys/fs/cgroup"
local RUNNING_TREES = { "/etc/static", "/run/booted-system", "/run/cairn", "/run/current-system", "/run/privileged", "/run/secrets" }

function M.is_below(path, top)
	return path == top or path:sub(1, #top + 1) == top .. "/"
end

local function in_one(path, trees)
	for _, top in ipairs(trees) do
		if M.is_below(path, top) then
			return true
		end
	end
	return false
end

-- Must all that lies there stay? A path that begins with an item of the store has a mark for it.
function M.is_kept(path)
	return DIRECTORIES[path] or in_one(path, TREES) or path:sub(1, 1) == "\1"
end

-- That of a directory when nobody says another.
function M.mode(path)
	return COMMON[path] and "1777" or "0755"
end

-- What is wrong with a directory of these fields, and the field; nothing when it leaves the system what it has.
function M.check_directory(path, mode, user, group)
	if not M.is_kept(path) and not SHARED[path] then
		return
	end
	local why = "'" .. path .. "' is the system's own, and root alone "
	local bits, needed = tonumber(mode or M.mode(path), 8), DIRECTORIES[path] and (CLOSED[path] or OPEN) or SHARED[path] and OPEN or 0
	if user and user ~= "root" then
		return why .. "has it [give a user a directory below it that is his alone]", "user"
	elseif bits & 0x12 ~= 0 and bits & 0x200 == 0 then -- others may write, and not only to files of their own
		return why .. "changes names in it [a mode such as 0755, or 1777 for all]", "mode"
	elseif COMMON[path] and bits ~= tonumber("1777", 8) then
		return "'" .. path .. "' is for all, each his own files [1777, as when it is left out]", "mode"
	elseif bits & needed ~= needed then
		return "'" .. path .. "' is the system's own, and would be closed to others [a mode such as 0755]", "mode"
	end
end

-- The same for one that is made for a service and closed to others; more: what to do instead.
function M.check_private(path, more)
	if M.is_kept(path) or SHARED[path] then
		return "'" .. path .. "' is the system's own, and would be closed to others [" .. more .. "]"
	end
end

-- The same for one that is made for somebody else than root; whose: what it would be then, or nothing.
function M.check_given(path, whose, more)
	if path:sub(1, 1) == "\1" then
		return "is in the store [" .. more .. "]"
	elseif M.is_kept(path) or SHARED[path] then
		return "'" .. path .. "' is the system's own" .. (whose and ", and would be " .. whose or "") .. " [" .. more .. "]"
	end
end

-- Where sockets of the system's own are.
local SOCKETS = "/var/guix/daemon-socket"

-- The same for a socket, which takes the place of what is there.
function M.check_socket(path)
	if path:sub(1, #SOCKETS + 1) == SOCKETS .. "/" then
		return
	elseif M.is_kept(path) or SHARED[path] or in_one(path, FILES) or in_one(path, RUNNING_TREES) then
		return "what is at '" .. path .. "' is the system's own, and would be removed [a path below /run]"
	end
end

-- Does a file system of the type hide what the running system has there?
function M.hides_running(path, type)
	return not (path == "/proc" and type == "proc") and (RUNNING[path] or in_one(path, RUNNING_TREES))
end

return M
