/* SPDX-License-Identifier: ISC */
/* Targets of aliases and ~/.forward: what a person wrote, and what it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/why.h"
#include "lib/table/target.h"

static const struct {
	const char *text;
	const char *expected; /* one letter for the kind, the text, a bar; "!" is an error */
} cases[] = {
    {"",							   ""			  },
    {" , ,",						       ""			  },
    {"joe",							"Ajoe;"		     },
    {"joe, ann@example.org",				       "Ajoe;Aann@example.org;"    },
    {"\\joe",						      "Ujoe;"		     },
    {"\"\\\\joe\"",						"Ujoe;"                     },
    {"/var/mail/archive",					  "F/var/mail/archive;"       },
    {"\"/var/mail/with space\"",				   "F/var/mail/with space;"    },
    {"/dev/null",						  "F/dev/null;"               },
    {"|/usr/bin/vacation joe",				     "C/usr/bin/vacation joe;"   },
    {"\"|/usr/bin/vacation joe\"",                                 "C/usr/bin/vacation joe;"   },
    {"|\"/usr/bin/x a, b\"",				       "C/usr/bin/x a, b;"         },
    {"\"|x \\\"a, b\\\"\"",					"Cx \"a, b\";"              },
    {"\"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe\"",
     "CIFS=' ' && exec /usr/bin/procmail -f- || exit 75 #joe;"                                 },
    {"|cat (not a comment)",				       "Ccat (not a comment);"     },
    {":include:/etc/list",					 "I/etc/list;"               },
    {":include: /etc/list",					"I/etc/list;"               },
    {"\":include:/etc/list\"",				     "I/etc/list;"               },
    {"Joe User <joe@example.org>, ann",                            "Ajoe@example.org;Aann;"    },
    {"\"User, Joe\" <joe@example.org>",                            "Ajoe@example.org;"         },
    {"joe (comment, with (nest) comma), ann",                      "Ajoe;Aann;"                },
    {"\"joe\"",						    "Ajoe;"                     },
    {"\"joe user\"@example.org",				   "A\"joe user\"@example.org;"},
    {"\"joe user\"",					       "A\"joe user\";"            },
    {"joe+list",						   "Ajoe+list;"                },
    {":include:relative",					  "!"                         },
    {":include:",						  "!"			 },
    {"|",							  "!"			 },
    {"\"|\"",						      "!"			 },
    {"\\",							 "!"			 },
    {"\"joe",						      "!"			 },
    {"joe (comment",					       "!"			 },
    {"joe\001",						    "!"			 },
    {"<>",							 "!"			 },
};

static void
render(const char *text, struct buf *out)
{
	struct buf room;
	struct target target;
	struct str rest = str_from(text);
	struct why why;
	int more;

	buf_init(&room, TARGET_MAX);
	buf_reset(out);
	while ((more = target_next(&rest, &room, &target, &why)) == 1)
		assert_int_equal(
		    buf_printf(out, "%c%.*s;", "AUFCI"[target.kind], STR_ARG(target.text)), 0);
	if (more == -1) {
		assert_int_equal(why.class, WHY_PERM);
		buf_reset(out);
		assert_int_equal(buf_puts(out, "!"), 0);
	}
	buf_free(&room);
}

static void
test_targets(KP_UNUSED void **state)
{
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEM(cases); i++) {
		render(cases[i].text, &out);
		if (!str_is(buf_view(&out), cases[i].expected))
			fail_msg("<%s>: <%s>, expected <%s>", cases[i].text, buf_cstr(&out),
			    cases[i].expected);
	}
	buf_free(&out);
}

static void
test_too_long(KP_UNUSED void **state)
{
	static char text[TARGET_MAX + 2];
	struct buf room;
	struct target target;
	struct why why;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = 'a';
	struct str rest = str_make(text, sizeof text);
	buf_init(&room, TARGET_MAX);
	assert_int_equal(target_next(&rest, &room, &target, &why), -1);
	buf_free(&room);
}

static void
test_file(KP_UNUSED void **state)
{
	struct target_file f = {.rest = STR("# mine\njoe, ann\n\n|cmd\n\"bad\nlast")};
	struct buf room;
	struct target t;
	struct why why;

	buf_init(&room, TARGET_MAX);
	assert_int_equal(target_file_next(&f, &room, &t, &why), 1);
	assert_true(str_is(t.text, "joe"));
	assert_int_equal(target_file_next(&f, &room, &t, &why), 1);
	assert_true(str_is(t.text, "ann"));
	assert_int_equal(f.number, 2);
	assert_int_equal(target_file_next(&f, &room, &t, &why), 1);
	assert_int_equal(t.kind, TARGET_COMMAND);
	assert_int_equal(f.number, 4);
	assert_int_equal(target_file_next(&f, &room, &t, &why), -1);
	assert_true(str_starts(str_from(why.text), STR("line 5:")));
	buf_free(&room);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_targets),
	    cmocka_unit_test(test_too_long),
	    cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
