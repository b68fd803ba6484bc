/* SPDX-License-Identifier: ISC */
/* Numbers are big-endian, texts end in NUL. What a milter sends is hostile. */
#include "lib/milter/frame.h"

#include <string.h>

#include "lib/base/buf.h"

static void
be32_put(char *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (char)(n >> (24 - 8 * i));
}

static uint32_t
be32_get(const char *p)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)p[i];
	return n;
}

ssize_t
frame_begin(struct buf *out, char command)
{
	size_t at = out->n;
	char head[5] = {0, 0, 0, 0, command};

	return buf_add(out, head, sizeof head) == -1 ? -1 : (ssize_t)at;
}

void
frame_end(struct buf *out, ssize_t at)
{
	be32_put(out->p + at, (uint32_t)(out->n - (size_t)at - 4));
}

int
frame_u32(struct buf *out, uint32_t n)
{
	char octets[4];

	be32_put(octets, n);
	return buf_add(out, octets, sizeof octets);
}

int
frame_text(struct buf *out, struct str text)
{
	const char *nul = text.n > 0 ? memchr(text.p, '\0', text.n) : NULL;

	if (nul != NULL) /* it would end the text for the milter, and not for us */
		text.n = (size_t)(nul - text.p);
	return buf_str(out, text) == -1 ? -1 : buf_byte(out, '\0');
}

int
frame_next(struct str in, char *command, struct str *data, size_t *used)
{
	if (in.n < 4)
		return 0;
	uint32_t n = be32_get(in.p);
	if (n == 0 || n > MILTER_PACKET_MAX)
		return -1;
	if (in.n - 4 < n)
		return 0;
	*command = in.p[4];
	*data = str_sub(in, 5, n - 1);
	*used = 4 + (size_t)n;
	return 1;
}

bool
frame_take_u32(struct str *data, uint32_t *n)
{
	if (data->n < 4)
		return false;
	*n = be32_get(data->p);
	*data = str_from_at(*data, 4);
	return true;
}

bool
frame_take_text(struct str *data, struct str *text)
{
	const char *nul = data->n > 0 ? memchr(data->p, '\0', data->n) : NULL;

	if (nul == NULL)
		return false;
	*text = str_sub(*data, 0, (size_t)(nul - data->p));
	*data = str_from_at(*data, text->n + 1);
	return true;
}
