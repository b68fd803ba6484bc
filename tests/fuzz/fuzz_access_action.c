/* SPDX-License-Identifier: ISC */
/* The right-hand side of an access table: an action, or a restriction list. */
#include <stdint.h>

#include "lib/access/action.h"
#include "lib/access/list.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_make((const char *)data, size);
	struct action a = action_parse(text);
	struct access_rules_list list;
	struct why why;

	if (a.text.n > size || a.code.n > size)
		panic("longer than what it was parsed from");
	if (a.kind == ACTION_REPLY && (a.smtp < 400 || a.smtp > 599))
		panic("a reply that refuses nothing");
	if ((a.kind == ACTION_REDIRECT || a.kind == ACTION_PREPEND || a.kind == ACTION_FILTER ||
		a.kind == ACTION_BCC) &&
	    a.text.n == 0)
		panic("an action without what it needs");
	if (a.kind == ACTION_RULES && a.text.n > 0 && a.text.n < 4096 &&
	    access_list_parse_text(&list, a.text, AT_RCPT, NULL, &why) == 0)
		access_list_clear(&list);
	return 0;
}
