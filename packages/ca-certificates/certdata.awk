# SPDX-License-Identifier: GPL-3.0-or-later
#
# Mozilla's certdata.txt to a PEM bundle of the certificates that are trusted for
# servers.  A trust object belongs to the certificate with the same issuer and
# serial number; both are compared as they are written.

BEGIN {
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
}

function end_of_object()
{
	if (class == "CKO_CERTIFICATE")
		value[issuer serial] = der
	else if (class == "CKO_NSS_TRUST" && server == "CKT_NSS_TRUSTED_DELEGATOR") {
		order[++trusted] = issuer serial
		name[issuer serial] = label
	}
	class = issuer = serial = der = server = label = ""
}

# A block of \ooo lines up to END.
function octal(  all)
{
	all = ""
	while ((getline line) > 0 && line != "END")
		all = all line
	return all
}

/^CKA_CLASS / { end_of_object(); class = $3 }
/^CKA_LABEL / { label = $0; sub(/^[^"]*"/, "", label); sub(/"$/, "", label) }
/^CKA_TRUST_SERVER_AUTH / { server = $3 }
/^CKA_ISSUER / { issuer = octal() }
/^CKA_SERIAL_NUMBER / { serial = octal() }
/^CKA_VALUE / { der = octal() }

function base64(text,  count, bytes, i, n, out, column)
{
	count = split(substr(text, 2), bytes, "\\")
	out = ""
	column = 0
	for (i = 1; i <= count; i += 3) {
		n = strtonum("0" bytes[i]) * 65536
		if (i + 1 <= count)
			n += strtonum("0" bytes[i + 1]) * 256
		if (i + 2 <= count)
			n += strtonum("0" bytes[i + 2])
		out = out substr(alphabet, int(n / 262144) + 1, 1) substr(alphabet, int(n / 4096) % 64 + 1, 1)
		out = out (i + 1 <= count ? substr(alphabet, int(n / 64) % 64 + 1, 1) : "=")
		out = out (i + 2 <= count ? substr(alphabet, n % 64 + 1, 1) : "=")
		column += 4
		if (column == 64 && i + 3 <= count) {
			out = out "\n"
			column = 0
		}
	}
	return out
}

END {
	end_of_object()
	for (i = 1; i <= trusted; i++) {
		if (!(order[i] in value))
			continue
		print "# " name[order[i]]
		print "-----BEGIN CERTIFICATE-----"
		print base64(value[order[i]])
		print "-----END CERTIFICATE-----"
	}
}
