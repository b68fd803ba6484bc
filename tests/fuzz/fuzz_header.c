/* SPDX-License-Identifier: ISC */
/* Header walk, content scan and dot rule: they agree with each other, and do not depend on how the
 * input is cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/mail/content.h"
#include "lib/mail/dotstream.h"
#include "lib/mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct str in)
{
	struct header_field f;
	size_t offset = 0, before = 0;

	while (header_next(in, &offset, &f)) {
		if (offset <= before || offset > in.n || f.offset != before ||
		    f.size != offset - before)
			panic("header: no step forward");
		before = offset;
	}
}

static void
scan(struct str in, size_t cut)
{
	struct content_scan a, b;

	content_begin(&a);
	content_feed(&a, in);
	content_end(&a);
	content_begin(&b);
	content_feed(&b, str_sub(in, 0, cut));
	content_feed(&b, str_from_at(in, cut));
	content_end(&b);
	if (a.facts != b.facts || a.header_size != b.header_size ||
	    a.longest_line != b.longest_line || a.received != b.received ||
	    a.bare_newline != b.bare_newline)
		panic("content: the cut shows");
	if (a.header_size != header_size(in))
		panic("content and header disagree on the header's end");
}

/* What the decoder lets out is wire form, and comes back from encoder and decoder as it was. */
static void
dots(struct str in, size_t cut)
{
	struct dot_decoder d;
	struct dot_encoder e;
	struct content_scan c;
	struct buf plain, coded, back;
	size_t n;

	buf_init(&plain, SIZE_MAX / 2);
	buf_init(&coded, SIZE_MAX / 2);
	buf_init(&back, SIZE_MAX / 2);
	char *room = malloc(dot_decode_room(in.n) + 1);
	dot_decode_begin(&d);
	size_t used = dot_decode(&d, str_sub(in, 0, cut), room, &n);
	if (buf_add(&plain, room, n) == -1)
		abort();
	if (!d.ended) {
		used += dot_decode(&d, str_from_at(in, used), room, &n);
		if (buf_add(&plain, room, n) == -1)
			abort();
	}
	free(room);

	content_begin(&c);
	content_feed(&c, buf_view(&plain));
	content_end(&c);
	if (c.bare_newline)
		panic("the decoder let a bare newline out");

	dot_encode_begin(&e);
	if (dot_encode(&e, buf_view(&plain), &coded) == -1 || dot_encode_end(&e, &coded) == -1)
		abort();
	room = malloc(dot_decode_room(coded.n));
	dot_decode_begin(&d);
	used = dot_decode(&d, buf_view(&coded), room, &n);
	if (!d.ended || used != coded.n)
		panic("an end inside the content");
	if (n < plain.n || memcmp(room, buf_cstr(&plain), plain.n) != 0)
		panic("encoded and decoded, it is something else");
	free(room);
	buf_free(&plain);
	buf_free(&coded);
	buf_free(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct str in = str_make((const char *)data + 1, size - 1);
	size_t cut = in.n > 0 ? data[0] % (in.n + 1) : 0;
	walk(in);
	scan(in, cut);
	dots(in, cut);
	return 0;
}
