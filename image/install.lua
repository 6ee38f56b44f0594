-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system or image -> its generation and, where they are wanted, GRUB's files for a machine whose
-- root is partition args.bios or args.efi of the disk (the value of sys_eval_request.apply in
-- image/cmd_init.c).

local generation = require "system.generation"

return function(value, args)
	local out = { system = generation.parts(value).system }
	local os = schema.name(value) == "image" and value.operating_system or value
	if os.bootloader.type ~= "grub" then
		return out
	end
	if args.bios then
		out.bios = require("bootloader.grub").bios(tonumber(args.bios))
	end
	if args.efi then
		out.efi = require("bootloader.grub").efi(tonumber(args.efi))
	end
	return out
end
