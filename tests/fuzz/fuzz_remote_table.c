/* SPDX-License-Identifier: ISC */
/* Replies of tcp: and socketmap: tables, as they grow, and how such tables are written. */
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/table/remote.h"
#include "lib/table/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_value(const struct buf *out)
{
	if (out->n == 0)
		panic("an empty value");
	for (size_t i = 0; i < out->n; i++)
		if ((unsigned char)out->p[i] < ' ' && out->p[i] != '\t')
			panic("a control character in a value");
}

static void
feed(const struct remote *r, struct str all)
{
	struct buf out;
	struct why why;
	size_t used = 0;

	buf_init(&out, TABLE_VALUE_MAX);
	for (size_t n = 0; n <= all.n; n++) {
		int answer = 7,
		    got = remote_reply(r, str_sub(all, 0, n), &answer, &used, &out, &why);
		if (got == 0)
			continue;
		if (got == 1 && (used != n || answer < TABLE_ERROR || answer > TABLE_FOUND))
			panic("a reply that ends elsewhere, or is no answer");
		if (got == 1 && answer == TABLE_FOUND)
			check_value(&out);
		break;
	}
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct remote r;
	struct why why;

	if (remote_parse(&r, text, &why) == 0)
		remote_clear(&r);
	if (remote_parse(&r, STR("tcp:127.0.0.1:1"), &why) == 0) {
		feed(&r, text);
		remote_clear(&r);
	}
	if (remote_parse(&r, STR("socketmap:unix:/s:m"), &why) == 0) {
		feed(&r, text);
		remote_clear(&r);
	}
	return 0;
}
