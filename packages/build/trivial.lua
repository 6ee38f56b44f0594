-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- No phase but what the recipe gives, after unpacking.

return function()
	return { unpack = "unpack", patch = "apply_patches" }
end
