/* SPDX-License-Identifier: ISC */
/* The reader of what Dovecot's auth service says, line by line. */
#include <stdint.h>
#include <stdlib.h>

#include "keeper/dovecot_line.h"
#include "lib/base/buf.h"
#include "lib/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What comes in unescaped can be escaped again, and is then the same. */
static void
check_text(struct str text)
{
	struct buf raw = {.max = 1 << 20}, again = {.max = 1 << 21}, back = {.max = 1 << 20};

	if (dovecot_unescape(text, &raw) == 0) {
		if (dovecot_escape(buf_view(&raw), &again) == -1 ||
		    dovecot_unescape(buf_view(&again), &back) == -1 ||
		    !str_eq(buf_view(&raw), buf_view(&back)))
			panic("escaped text came back as another");
		if (str_chr(buf_view(&again), '\t') >= 0 || str_chr(buf_view(&again), '\n') >= 0)
			panic("an escaped text ends its field");
	}
	buf_free(&raw);
	buf_free(&again);
	buf_free(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_make((const char *)data, size), line;
	struct dovecot_line l;

	while (str_word(&rest, "\n", &line)) {
		check_text(line);
		if (dovecot_parse(line, &l) == -1)
			continue;
		if (l.mechanism.n > 20 || l.user.n > line.n || l.reason.n > line.n ||
		    l.data.n > line.n)
			panic("a field is longer than its line");
		check_text(l.user);
		check_text(l.reason);
	}
	return 0;
}
