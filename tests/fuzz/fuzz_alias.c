/* SPDX-License-Identifier: ISC */
/* The right-hand side of aliases, a ~/.forward file, and a whole aliases file. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/table/alias.h"
#include "lib/table/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct target *t)
{
	if (t->text.n == 0 || t->text.n > TARGET_MAX)
		panic("a target of %zu bytes", t->text.n);
	for (size_t i = 0; i < t->text.n; i++)
		if ((unsigned char)t->text.p[i] < ' ' && t->text.p[i] != '\t')
			panic("a control character in a target");
}

static int
on_entry(void *arg, struct str name, struct str value, struct why *why)
{
	size_t *n = arg;

	*n += name.n + value.n;
	return name.n > 0 && value.n > 0 ? 0 : why_perm(why, NULL, "empty");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct target_file file = {.rest = text};
	struct target target;
	struct buf room;
	struct why why;
	size_t total = 0;

	buf_init(&room, TARGET_MAX);
	struct str rest = text;
	while (target_next(&rest, &room, &target, &why) == 1)
		check(&target);
	while (target_file_next(&file, &room, &target, &why) == 1)
		check(&target);
	buf_free(&room);
	if (alias_parse(text, "fuzz", on_entry, &total, &why) == 0 && total > 2 * size)
		panic("more came out than went in");
	return 0;
}
