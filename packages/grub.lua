-- SPDX-License-Identifier: GPL-3.0-or-later

return require "packages.grub.recipe" {
	name = "grub", target = "i386", platform = "pc", tools = true,
	synopsis = "Boot loader: its programs, and its code for BIOS machines",
	description = "grub-mkimage, grub-editenv, grub-bios-setup.",
}
