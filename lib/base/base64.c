/* SPDX-License-Identifier: ISC */
/* Three octets to four characters, and back. */
#include "lib/base/base64.h"

#include <stdint.h>

#include "lib/base/buf.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
base64_encode(struct str bytes, struct buf *out)
{
	size_t n = (bytes.n + 2) / 3 * 4;
	char *to = buf_room(out, n);

	if (n == 0)
		return 0;
	if (to == NULL)
		return -1;
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = bytes.n - i;
		uint32_t v = (uint32_t)(unsigned char)bytes.p[i] << 16;
		if (left > 1)
			v |= (uint32_t)(unsigned char)bytes.p[i + 1] << 8;
		if (left > 2)
			v |= (unsigned char)bytes.p[i + 2];
		*to++ = alphabet[v >> 18];
		*to++ = alphabet[v >> 12 & 63];
		*to++ = left > 1 ? alphabet[v >> 6 & 63] : '=';
		*to++ = left > 2 ? alphabet[v & 63] : '=';
	}
	buf_grown(out, n);
	return 0;
}

static int
value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters to one to three octets; 0: they are none. */
static size_t
group(const char *in, bool last, unsigned char *to)
{
	size_t n = !last || in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int c = i <= n ? value(in[i]) : 0;
		if (c < 0)
			return 0;
		v = v << 6 | (uint32_t)c;
	}
	/* The bits behind the last octet are 0 in the one right form. */
	if ((v & ((1u << (24 - 8 * n)) - 1)) != 0)
		return 0;
	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)(v >> (16 - 8 * i));
	return n;
}

int
base64_decode(struct str text, struct buf *out)
{
	size_t before = out->n;

	if (text.n % 4 != 0)
		return -1;
	for (size_t i = 0; i < text.n; i += 4) {
		unsigned char to[3];
		size_t n = group(text.p + i, i + 4 == text.n, to);
		if (n == 0 || buf_add(out, to, n) == -1) {
			buf_cut(out, before);
			return -1;
		}
	}
	return 0;
}
