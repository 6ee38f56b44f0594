-- SPDX-License-Identifier: GPL-3.0-or-later

return require "packages.grub.recipe" {
	name = "grub-efi", target = "x86_64", platform = "efi",
	synopsis = "Boot loader: its code for UEFI machines",
}
