/* SPDX-License-Identifier: ISC */
/* The MIME walker: its lines are in order, inside the content, and the same however it is cut. */
#include <stdint.h>
#include <stdlib.h>

#include "cleanup/mime.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	struct buf text;
	uint64_t end;
};

static bool
on_line(void *arg, const struct mime_line *l)
{
	struct seen *seen = arg;

	if (l->offset < seen->end || l->kind >= MIME_KINDS)
		panic("lines that overlap");
	if (l->kind == MIME_BODY && l->body_offset > l->offset)
		panic("a line before its part");
	seen->end = l->offset + l->size;
	if (buf_printf(&seen->text, "%d %llu %llu %llu ", l->kind, (unsigned long long)l->offset,
		(unsigned long long)l->size, (unsigned long long)l->body_offset) == -1 ||
	    buf_str(&seen->text, l->text) == -1)
		panic("no room");
	return true;
}

static void
walk(struct str content, size_t cut, struct seen *seen)
{
	struct mime m;

	*seen = (struct seen){0};
	buf_init(&seen->text, 64 * 1024 * 1024);
	mime_begin(&m, on_line, seen, 10, 70, 512);
	for (size_t at = 0; at < content.n; at += cut)
		mime_feed(&m, str_sub(content, at, cut));
	mime_end(&m);
	if (seen->end > content.n || (m.header_end != UINT64_MAX && m.header_end > content.n))
		panic("more lines than content");
	mime_clear(&m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole, parts;

	if (size < 1)
		return 0;
	struct str content = str_make((const char *)data + 1, size - 1);
	walk(content, size, &whole);
	walk(content, (size_t)data[0] + 1, &parts);
	if (!str_eq(buf_view(&whole.text), buf_view(&parts.text)))
		panic("what is seen depends on the cuts");
	buf_free(&whole.text);
	buf_free(&parts.text);
	return 0;
}
