/* SPDX-License-Identifier: ISC */
/* The address grammar: what is in RFC 5321 and 5322, what is not, and the canonical text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/mail/address.h"

struct path_case {
	const char *in;
	unsigned flags;
	const char *text; /* NULL: refused */
	size_t used;      /* 0: all of it */
	const char *code;
};

static const struct path_case paths[] = {
    {"<a@example.com>",               0,               "a@example.com",        0,  NULL   },
    {"<A.b+c@EXAMPLE.Com> SIZE=1",    0,               "A.b+c@example.com",    19, NULL   },
    {"<\"a b\"@example.com>",         0,               "\"a b\"@example.com",  0,  NULL   },
    {"<\"a.b\"@example.com>",         0,               "a.b@example.com",      0,  NULL   },
    {"<\"a\\b\\\"\\\\\"@x.org>",      0,               "\"ab\\\"\\\\\"@x.org", 0,  NULL   },
    {"<\"a>b@c\"@x.org>",             0,               "\"a>b@c\"@x.org",      0,  NULL   },
    {"<\"\"@x.org>",                  0,               "\"\"@x.org",           0,  NULL   },
    {"<a@[192.0.2.1]>",               0,               "a@[192.0.2.1]",        0,  NULL   },
    {"<a@[IPV6:2001:DB8:0::1]>",      0,               "a@[IPv6:2001:db8::1]", 0,  NULL   },
    {"<a@[2001:db8::1]>",             0,               NULL,                   0,  "5.1.3"},
    {"<a@[192.0.2.256]>",             0,               NULL,                   0,  "5.1.3"},
    {"<a@[192.0.2.1]x>",              0,               NULL,                   0,  "5.1.3"},
    {"<@one,@two.org:a@example.com>", 0,               "a@example.com",        0,  NULL   },
    {"<@one,@two.org a@example.com>", 0,               NULL,                   0,  "5.1.3"},
    {"<@one:>",		       0,               NULL,                   0,  "5.1.3"},
    {"<>",			    ADDR_NULL,       "",                     0,  NULL   },
    {"<>",			    0,	       NULL,                   0,  "5.1.3"},
    {"<postmaster>",                  ADDR_POSTMASTER, "postmaster",           0,  NULL   },
    {"<PostMaster>",                  ADDR_POSTMASTER, "PostMaster",           0,  NULL   },
    {"<root>",			ADDR_POSTMASTER, NULL,                   0,  "5.1.3"},
    {"<root>",			ADDR_NO_DOMAIN,  "root",                 0,  NULL   },
    {"a@b.org NOTIFY=NEVER",          ADDR_BARE,       "a@b.org",              7,  NULL   },
    {"a@b.org",		       0,               NULL,                   0,  "5.1.3"},
    {"<a@b.org",		      0,               NULL,                   0,  "5.1.3"},
    {"< a@b.org>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a@b.org >",		    0,               NULL,                   0,  "5.1.3"},
    {"<a b@c.org>",                   0,               NULL,                   0,  "5.1.3"},
    {"<.a@b.org>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a.@b.org>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a..b@c.org>",                  0,               NULL,                   0,  "5.1.3"},
    {"<@b.org>",		      0,               NULL,                   0,  "5.1.3"},
    {"<a@>",			  0,               NULL,                   0,  "5.1.3"},
    {"<a@b..c>",		      0,               NULL,                   0,  "5.1.3"},
    {"<a@b.org.>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a@-b.org>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a@b-.org>",		    0,               NULL,                   0,  "5.1.3"},
    {"<a@b_c.org>",                   0,               NULL,                   0,  "5.1.3"},
    {"<a@b@c.org>",                   0,               NULL,                   0,  "5.1.3"},
    {"<a@b(c).org>",                  0,               NULL,                   0,  "5.1.3"},
    {"<a\t@b.org>",                   0,               NULL,                   0,  "5.1.3"},
    {"<\"a\nb\"@c.org>",              0,               NULL,                   0,  "5.1.3"},
    {"<\"a\\\nb\"@c.org>",            0,               NULL,                   0,  "5.1.3"},
    {"<\"a\x7f\"@c.org>",             0,               NULL,                   0,  "5.1.3"},
    {"<\"a@c.org>",                   0,               NULL,                   0,  "5.1.3"},
    {"<;/bin/sh;@>",                  0,               NULL,                   0,  "5.1.3"},
    {"<|x/y@c.org>",                  0,               "|x/y@c.org",           0,  NULL   },
    {"<j\xc3\xb6rg@x.org>",           0,               NULL,                   0,  "5.6.7"},
    {"<j\xc3\xb6rg@x.org>",           ADDR_UTF8,       "j\xc3\xb6rg@x.org",    0,  NULL   },
    {"<j\xc3@x.org>",                 ADDR_UTF8,       NULL,                   0,  "5.1.3"},
    {"<j\xed\xa0\x80@x.org>",         ADDR_UTF8,       NULL,                   0,  "5.1.3"},
    {"<j\xc0\xaf@x.org>",             ADDR_UTF8,       NULL,                   0,  "5.1.3"},
    {"<j\xc2\x85@x.org>",             ADDR_UTF8,       NULL,                   0,  "5.1.3"},
    {"<a@B\xc3\x9c"
     "CHER.example>",	    ADDR_UTF8,
     "a@b\xc3\xbc"
	"cher.example",							0,  NULL   },
    {"<a@b\xc3\xbc"
     "cher.example>",	    0,	       NULL,		   0,  "5.6.7"},
    {"<a@\xe2\x80\x8b.example>",      ADDR_UTF8,       NULL,                   0,  "5.1.3"},
};

static void
test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(paths); i++) {
		const struct path_case *c = &paths[i];
		struct addr a;
		struct why why = {0};
		size_t used;
		int rc = addr_path(&a, str_from(c->in), c->flags, &used, &why);
		if ((rc == 0) != (c->text != NULL))
			fail_msg("%s: %s", c->in, rc == 0 ? a.text : why.text);
		if (rc == -1) {
			assert_string_equal(why.code, c->code);
			assert_int_equal(a.n, 0);
			continue;
		}
		if (strcmp(a.text, c->text) != 0)
			fail_msg("%s: %s", c->in, a.text);
		assert_int_equal(used, c->used != 0 ? c->used : strlen(c->in));
		assert_int_equal(strlen(a.text), a.n);
	}
}

/* What has been parsed once parses again, to itself. */
static void
test_canonical(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(paths); i++) {
		struct addr a, b;
		size_t used;
		if (addr_path(&a, str_from(paths[i].in), paths[i].flags, &used, NULL) == -1)
			continue;
		assert_int_equal(addr_mailbox(&b, addr_text(&a), paths[i].flags, NULL), 0);
		assert_string_equal(a.text, b.text);
		assert_int_equal(a.local_n, b.local_n);
	}
}

static void
test_limits(void **state)
{
	char text[1024];
	struct addr a;

	(void)state;
	memset(text, '"', sizeof text);
	for (int i = 0; i < ADDR_LOCAL_MAX; i++)
		memcpy(text + 1 + 2 * i, "\\\"", 2);
	size_t n = 1 + 2 * ADDR_LOCAL_MAX;
	n += (size_t)snprintf(text + n, sizeof text - n, "\"@");
	for (int i = 0; i < 4; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%063d.", i);
	text[n - 1] = '\0';
	assert_int_equal(addr_mailbox(&a, str_from(text), 0, NULL), 0);
	assert_int_equal(a.n, ADDR_TEXT_MAX);

	text[n - 1] = 'x'; /* one more octet in the domain, and in its label */
	text[n] = '\0';
	assert_int_equal(addr_mailbox(&a, str_from(text), 0, NULL), -1);

	memset(text, 'a', ADDR_LOCAL_MAX + 1);
	strcpy(text + ADDR_LOCAL_MAX + 1, "@x.org");
	assert_int_equal(addr_mailbox(&a, str_from(text), 0, NULL), -1);
	assert_int_equal(addr_mailbox(&a, str_from(text + 1), 0, NULL), 0);
}

static const struct {
	const char *in;
	const char *out; /* the addresses, each with a blank behind; "!" at the end where an error
			    ends the list */
} lists[] = {
    {"a@x.org",						  "a@x.org "                },
    {"a",							"a "		      },
    {"a, b@x.org,,c ,",					  "a b@x.org c "            },
    {"\"Doe, John\" <john@x.org>, Jane Q. Doe <jane@X.ORG>",     "john@x.org jane@x.org "  },
    {"john@old.org <john@new.org>",                              "john@new.org "           },
    {"a (comment, with (nesting\\)) @ x.org) @ x.org (another)", "a@x.org "                },
    {"friends: a@x.org, b@x.org; , c@x.org",                     "a@x.org b@x.org c@x.org "},
    {"undisclosed-recipients:;",				 ""                        },
    {"",							 ""			},
    {" \r\n\t",						  ""			},
    {"a@x.org,\r\n b@x.org",				     "a@x.org b@x.org "        },
    {"john . doe @ x . org",				     "john.doe@x.org "         },
    {"\"john doe\"@x.org",				       "\"john doe\"@x.org "     },
    {"\"john\".doe@x.org",				       "john.doe@x.org "         },
    {"<@r.org,@s.org:a@x.org>",				  "a@x.org "                },
    {"a@[192.0.2.1]",					    "a@[192.0.2.1] "          },
    {"x <a@x.org> y",					    "!"                       },
    {"a b@x.org",						"!"		       },
    {"a@x.org b@x.org",					  "!"                       },
    {"(open",						    "!"		       },
    {"\"open",						   "!"		       },
    {"a@x.org, <b",					      "a@x.org !"               },
    {"a@b@c",						    "!"		       },
    {"a>",						       "!"		       },
    {"g: h: a@x.org;",					   "!"                       },
    {"a@x..org",						 "!"		       },
    {"a\x01@x.org",					      "!"		       },
    {"<>",						       "!"		       },
};

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < NELEM(lists); i++) {
		struct addr_list l;
		struct addr a;
		struct buf out;
		struct why why;
		int rc;
		buf_init(&out, 1000);
		addr_list_init(&l, str_from(lists[i].in), 0);
		while ((rc = addr_list_next(&l, &a, &why)) == 1)
			assert_int_equal(buf_printf(&out, "%s ", a.text), 0);
		if (rc == -1)
			assert_int_equal(buf_puts(&out, "!"), 0);
		if (strcmp(buf_cstr(&out), lists[i].out) != 0)
			fail_msg("%s: got %s", lists[i].in, buf_cstr(&out));
		buf_free(&out);
	}
}

static void
test_parts(void **state)
{
	struct addr a;
	struct buf raw;
	char ascii[ADDR_DOMAIN_MAX + 1];

	(void)state;
	buf_init(&raw, 100);
	assert_int_equal(addr_mailbox(&a, STR("\"a\\\"b c\"@X.org"), 0, NULL), 0);
	assert_int_equal(addr_local_raw(&a, &raw), 0);
	assert_string_equal(buf_cstr(&raw), "a\"b c");
	assert_true(str_is(addr_domain(&a), "x.org"));
	buf_free(&raw);

	assert_int_equal(addr_mailbox(&a, STR("root"), ADDR_NO_DOMAIN, NULL), 0);
	assert_int_equal(addr_domain(&a).n, 0);
	assert_int_equal(addr_complete(&a, STR("Mail.Example"), NULL), 0);
	assert_string_equal(a.text, "root@mail.example");
	assert_int_equal(addr_complete(&a, STR("other.example"), NULL), 0);
	assert_string_equal(a.text, "root@mail.example");

	assert_int_equal(domain_to_ascii(STR("B\xc3\xbc"
					     "cher.example"),
			     ascii, NULL),
	    0);
	assert_string_equal(ascii, "xn--bcher-kva.example");
	assert_int_equal(domain_to_ascii(STR("_dmarc.Example"), ascii, NULL), 0);
	assert_string_equal(ascii, "_dmarc.example");
	assert_int_equal(domain_to_ascii(STR("a..b"), ascii, NULL), -1);
	assert_true(domain_valid(STR("a.b"), false));
	assert_false(domain_valid(STR("a_b"), false));
	assert_false(domain_valid(STR(""), false));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_canonical),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
