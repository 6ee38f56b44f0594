-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Layouts of keyboards that PCs have: the names of kbd's files. (Its de_alt_UTF-8 is none that its own
-- loadkeys reads.)

return {
	"3l", "ANSI-dvorak", "adnw", "azerty", "bashkir", "be-latin1", "bg-cp1251", "bg-cp855",
	"bg_bds-cp1251", "bg_bds-utf8", "bg_pho-cp1251", "bg_pho-utf8", "bone", "br-abnt", "br-abnt2",
	"br-latin1-abnt2", "br-latin1-us", "by-cp1251", "by", "bywin-cp1251", "ca", "cf", "croat",
	"cz-cp1250", "cz-lat2-prog", "cz-lat2", "cz-us-qwertz", "cz", "de-latin1-nodeadkeys", "de-latin1",
	"de-mobii", "de", "de_CH-latin1", "dk-latin1", "dk", "dvorak-ca-fr", "dvorak-es", "dvorak-fr",
	"dvorak-l", "dvorak-la", "dvorak-no", "dvorak-programmer", "dvorak-r", "dvorak-ru", "dvorak-sv-a1",
	"dvorak-sv-a5", "dvorak-uk", "dvorak-ukp", "dvorak", "en-latin9", "es-cp850", "es", "et-nodeadkeys",
	"et", "fa", "fi", "fr-bepo-latin9", "fr-bepo", "fr-latin1", "fr-latin9", "fr-pc", "fr",
	"fr_CH-latin1", "fr_CH", "gr-pc", "gr", "hu", "hu101", "ie", "il-heb", "il-phonetic", "il",
	"is-latin1-us", "is-latin1", "it-ibm", "it", "it2", "jp106", "kazakh", "koy", "ky_alt_sh-UTF-8",
	"kyrgyz", "la-latin1", "lt.baltic", "lt", "lt.l4", "lv-tilde", "lv", "mk-cp1251", "mk-utf", "mk",
	"mk0", "neo", "neoqwertz", "nl", "nl2", "no-latin1", "no", "pc110", "pl", "pl1", "pl2", "pl3",
	"pl4", "pt-latin1", "pt-latin9", "ro", "ro_std", "ro_win", "ru-cp1251", "ru-ms", "ru-yawerty", "ru",
	"ru1", "ru2", "ru3", "ru4", "ru_win", "ruwin_alt-CP1251", "ruwin_alt-KOI8-R", "ruwin_alt-UTF-8",
	"ruwin_alt_sh-UTF-8", "ruwin_cplk-CP1251", "ruwin_cplk-KOI8-R", "ruwin_cplk-UTF-8",
	"ruwin_ct_sh-CP1251", "ruwin_ct_sh-KOI8-R", "ruwin_ct_sh-UTF-8", "ruwin_ctrl-CP1251",
	"ruwin_ctrl-KOI8-R", "ruwin_ctrl-UTF-8", "se-fi-ir209", "se-fi-lat6", "se-ir209", "se-lat6",
	"sg-latin1-lk450", "sg-latin1", "sg", "sk-prog-qwerty", "sk-prog-qwertz", "sk-qwerty", "sk-qwertz",
	"slovene", "sr-cy", "sr-latin", "sv-latin1", "tj_alt-UTF8", "tr_f-latin5", "tr_q-latin5", "tralt",
	"trf", "trq", "ttwin_alt-UTF-8", "ttwin_cplk-UTF-8", "ttwin_ct_sh-UTF-8", "ttwin_ctrl-UTF-8",
	"ua-cp1251", "ua-utf-ws", "ua-utf", "ua-ws", "ua", "uk", "us-acentos", "us", "us1", "wangbe",
	"wangbe2",
}
