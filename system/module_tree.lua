-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Where the modules of a system are: in its kernel, or in a tree of those and the ones of kernel_loadable_modules.

local tree = require "system.tree"

return function(os)
	if #os.kernel_loadable_modules == 0 then
		return os.kernel
	end
	return tree.derivation("kernel-modules", { tree.module_tree("lib/modules", os.kernel, os.kernel_loadable_modules) })
end
