/* SPDX-License-Identifier: ISC */
/* Table types: keys, answers, files that change, files that cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/table/address.h"
#include "lib/table/build.h"
#include "lib/table/table.h"
#include "tests/unit/tree.h"

static char dir[] = "/tmp/kp-table-XXXXXX";

static void
file_write(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name), *temporary = xasprintf("%s/%s.new", dir, name);
	FILE *f = fopen(temporary, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(temporary, path), 0);
	free(temporary);
	free(path);
}

/* "=value", "-" for not there, "!" for could not tell. */
static void
expect(const char *spec, const char *key, const char *expected)
{
	struct why why = {0};
	struct buf out;
	struct table *t = table_open(str_from(spec), dir, &why);

	assert_non_null(t);
	buf_init(&out, TABLE_VALUE_MAX);
	int found = table_lookup(t, str_from(key), NULL, &out, &why);
	if (expected[0] != (found == 1 ? '=' : found == 0 ? '-' : '!'))
		fail_msg("%s, %s: %d (%s)", spec, key, found, why.text);
	if (found == 1)
		assert_string_equal(buf_cstr(&out), expected + 1);
	if (found == -1) {
		assert_int_equal(why.class, WHY_TEMP);
		assert_string_equal(why.code, "4.3.0");
	}
	buf_free(&out);
	table_free(&t);
}

static const struct {
	const char *spec, *key, *expected;
} cases[] = {
    {"inline:{a=b, { c = d e }, g=h=i}", "a",                                             "=b"            },
    {"inline:{a=b, { c = d e }, g=h=i}", "C",                                             "=d e"          },
    {"inline:{a=b, { c = d e }, g=h=i}", "g",                                             "=h=i"          },
    {"inline:{a=b}",		     "b",					     "-"             },
    {"inline:{}",			"b",					     "-"             },
    {"inline:{a=1 a=2}",                 "a",					     "=1"            },
    {"static:x",			 "anything",				      "=x"            },
    {"static:{x y}",		     "anything",				      "=x y"          },
    {"fail:no",			  "anything",				      "!"             },
    {"texthash:text",                    "key",					   "=value of key" },
    {"texthash:text",                    "KEY",					   "=value of key" },
    {"texthash:text",                    "continued",				     "=one two"      },
    {"texthash:text",                    "quoted key",				    "=q"            },
    {"texthash:text",                    "none",					  "-"             },
    {"texthash:text",                    "",					      "-"             },
    {"proxy:texthash:text",              "key",					   "=value of key" },
    {"texthash:missing",                 "key",					   "!"             },
    {"texthash:broken",                  "key",					   "!"             },
    {"words:words",		      "b.example",				     "="             },
    {"words:words",		      "d.example",				     "-"             },
    {"cidr:cidr",			"10.1.2.3",				      "=ten"          },
    {"cidr:cidr",			"192.0.2.1",				     "=one"          },
    {"cidr:cidr",			"192.0.2.2",				     "=rest"         },
    {"cidr:cidr",			"2001:db8::5",				   "=six"          },
    {"cidr:cidr",			"[2001:db8::5]",                                 "=six"          },
    {"cidr:cidr",			"2001:db9::5",				   "-"             },
    {"cidr:cidr",			"172.16.3.4",				    "=inner"        },
    {"cidr:cidr",			"host.example",				  "-"             },
    {"cidr:cidr-broken",                 "10.1.2.3",				      "!"             },
    {"pcre:pcre",			"joe@sub.example.org",                           "=sub joe $ joe"},
    {"pcre:pcre",			"JOE@Sub.Example.org",                           "=sub JOE $ JOE"},
    {"pcre:pcre",			"other@example.net",                             "=net"          },
    {"pcre:pcre",			"x@y.test",				      "=not com"      },
    {"pcre:pcre",			"x@y.com",				       "-"             },
    {"pcre:pcre",			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "!"             },
    {"pcre:pcre-broken",                 "x",					     "!"             },
    {"unix:passwd.byname",               "nobody-here",                                   "-"             },
    {"unix:group.byname",                "nobody-here",                                   "-"             },
    {"lmdb:missing",		     "x",					     "!"             },
};

static void
test_lookup(KP_UNUSED void **state)
{
	file_write("text", "# comment\n\nkey   value of key\ncontinued one\n # "
			   "inside\n\ttwo\n\"quoted key\" q\nkey second\n");
	file_write("broken", "a b\n\"unclosed c\n");
	file_write("words", "a.example b.example\nc.example\n");
	file_write("cidr", "10.0.0.0/8 ten\n192.0.2.1 one\nif 172.16.0.0/12\n172.16.3.0/24 "
			   "inner\nendif\n172.16.3.0/24 outer\n"
			   "if !172.16.0.0/12\n192.0.0.0/8 rest\nendif\n2001:db8::/32 six\n");
	file_write("cidr-broken", "10.0.0.1/8 x\n");
	file_write("pcre", "/^(a+)+$/ slow\n/^(.*)@sub\\.example\\.org$/ sub $1 $$ ${1}\nif "
			   "/@example\\.net$/\n/^OTHER/ net\nendif\n"
			   "/^other/i never\n!/\\.com$/ not com\n");
	file_write("pcre-broken", "/(/ x\n");
	for (size_t i = 0; i < NELEM(cases); i++)
		expect(cases[i].spec, cases[i].key, cases[i].expected);
}

static void
test_unix_root(KP_UNUSED void **state)
{
	struct why why = {0};
	struct buf out;
	struct table *t = table_open(STR("unix:passwd.byname"), "", &why);

	buf_init(&out, TABLE_VALUE_MAX);
	assert_true(table_is_unix(t));
	assert_int_equal(table_lookup(t, STR("ROOT"), NULL, &out, &why), 1);
	assert_true(str_starts(buf_view(&out), STR("root:x:0:0:")));
	buf_free(&out);
	table_free(&t);
}

static void
test_malformed(KP_UNUSED void **state)
{
	static const char *const specs[] = {"", "nothing", "hash:/etc/aliases", "inline:{a}",
	    "inline:{{a=b}", "inline:{=b}", "unix:shadow.byname", ":x"};

	for (size_t i = 0; i < NELEM(specs); i++) {
		struct why why = {0};
		assert_null(table_open(str_from(specs[i]), dir, &why));
		assert_int_equal(why.class, WHY_PERM);
	}
}

/* A changed file is taken whole, a missing one is an error until it is back. */
static void
test_refresh(KP_UNUSED void **state)
{
	struct why why = {0};
	struct buf out;

	buf_init(&out, TABLE_VALUE_MAX);
	file_write("live", "key one\n");
	struct table *t = table_open(STR("texthash:live"), dir, &why);
	uint64_t first = table_stamp(t);
	assert_false(table_refresh(t));
	assert_int_equal(table_stamp(t), first);
	file_write("live", "key two\n");
	assert_true(table_refresh(t));
	assert_true(table_stamp(t) != first);
	assert_int_equal(table_lookup(t, STR("key"), NULL, &out, &why), 1);
	assert_string_equal(buf_cstr(&out), "two");
	char *path = xasprintf("%s/live", dir);
	assert_int_equal(unlink(path), 0);
	assert_true(table_refresh(t));
	assert_int_equal(table_lookup(t, STR("key"), NULL, &out, &why), -1);
	file_write("live", "key three\n");
	assert_true(table_refresh(t));
	assert_int_equal(table_lookup(t, STR("key"), NULL, &out, &why), 1);
	free(path);
	buf_free(&out);
	table_free(&t);
}

static void
test_build(KP_UNUSED void **state)
{
	struct build_report report = {0};
	struct buf warnings;
	struct why why = {0};
	char *path = xasprintf("%s/map", dir);

	buf_init(&warnings, 4096);
	report.warnings = &warnings;
	file_write("map",
	    "Joe@Example.org ann@example.org\n@example.net\tsomebody\njoe@example.org twice\n");
	assert_int_equal(map_build(path, &report, &why), 0);
	assert_int_equal(report.count, 2);
	assert_non_null(strstr(buf_cstr(&warnings), "joe@example.org"));
	expect("lmdb:map", "joe@example.org", "=ann@example.org");
	expect("lmdb:map", "JOE@example.org", "=ann@example.org");
	expect("lmdb:map", "@example.net", "=somebody");
	expect("lmdb:map", "ann@example.org", "-");

	/* An open reader sees the new table after a refresh; a failed build leaves the old one. */
	struct buf out;
	buf_init(&out, TABLE_VALUE_MAX);
	struct table *t = table_open(STR("lmdb:map"), dir, &why);
	file_write("map", "joe@example.org other\n");
	assert_int_equal(map_build(path, &report, &why), 0);
	assert_true(table_refresh(t));
	assert_int_equal(table_lookup(t, STR("joe@example.org"), NULL, &out, &why), 1);
	assert_string_equal(buf_cstr(&out), "other");
	file_write("map", "joe@example.org new\n\"unclosed\n");
	assert_int_equal(map_build(path, &report, &why), -1);
	assert_non_null(strstr(why.text, "/map:2: "));
	assert_false(table_refresh(t));
	buf_free(&out);
	table_free(&t);
	free(path);
	buf_free(&warnings);
}

static void
test_alias_build(KP_UNUSED void **state)
{
	struct build_report report = {0};
	struct why why = {0};
	char *path = xasprintf("%s/aliases", dir);

	file_write("aliases", "# aliases\nRoot: joe,\n   ann@example.org\npostmaster:root\n\"with "
			      "space\": joe\nprog: \"|/bin/cat, x\"\n");
	assert_int_equal(alias_build(path, &report, &why), 0);
	assert_int_equal(report.count, 4);
	assert_int_equal(report.longest, sizeof "joe, ann@example.org" - 1);
	expect("lmdb:aliases", "root", "=joe, ann@example.org");
	expect("lmdb:aliases", "POSTMASTER", "=root");
	expect("lmdb:aliases", "with space", "=joe");
	expect("lmdb:aliases", "prog", "=\"|/bin/cat, x\"");
	free(path);
}

static void
test_alias_errors(KP_UNUSED void **state)
{
	static const struct {
		const char *text, *error;
	} wrong[] = {
	    {"root joe\n",                "aliases:1: "},
	    {"a: b\n\nroot:\n",           "aliases:3: "},
	    {"a: b\nroot: \"joe\nx: y\n", "aliases:2: "},
	    {"a: b\n: joe\n",             "aliases:2: "},
	    {"joe@example.org: ann\n",    "aliases:1: "},
	    {"a: :include:list\n",        "aliases:1: "},
	};
	char *path = xasprintf("%s/aliases", dir);

	for (size_t i = 0; i < NELEM(wrong); i++) {
		struct build_report report = {0};
		struct why why = {0};
		file_write("aliases", wrong[i].text);
		assert_int_equal(alias_build(path, &report, &why), -1);
		if (strstr(why.text, wrong[i].error) == NULL)
			fail_msg("<%s>: %s", wrong[i].text, why.text);
	}
	free(path);
}

static const struct {
	const char *address, *delimiters, *user, *extension;
} splits[] = {
    {"joe+x@e.org",        "+",  "joe",           "x"  },
    {"joe+x+y@e.org",      "+",  "joe",           "x+y"},
    {"joe@e.org",          "+",  "joe",           ""   },
    {"+x@e.org",           "+",  "+x",            ""   },
    {"joe-x+y@e.org",      "+-", "joe",           "x+y"},
    {"owner-list@e.org",   "-",  "owner-list",    ""   },
    {"list-request@e.org", "-",  "list-request",  ""   },
    {"mailer-daemon",      "-",  "mailer-daemon", ""   },
    {"joe+x",	      "",   "joe+x",         ""   },
    {"\"a+b\"@e.org",      "+",  "\"a+b\"",       ""   },
};

static void
test_split(KP_UNUSED void **state)
{
	for (size_t i = 0; i < NELEM(splits); i++) {
		struct address a = address_split(str_from(splits[i].address), splits[i].delimiters);
		assert_true(str_is(a.user, splits[i].user));
		assert_true(str_is(a.extension, splits[i].extension));
	}
}

static void
test_address_order(KP_UNUSED void **state)
{
	static const struct {
		const char *address;
		unsigned keys;
		const char *expected;
	} asked[] = {
	    {"a+x@e.org",     0,           "full"     },
	    {"a+y@e.org",     0,           "bare"     },
	    {"b+x@e.org",     KEYS_LOCAL,  "local-ext"},
	    {"b+y@e.org",     KEYS_LOCAL,  "local"    },
	    {"b+y@e.org",     0,           NULL       },
	    {"c@e.net",       KEYS_DOMAIN, "catch-all"},
	    {"c@e.net",       0,           NULL       },
	    {"c@e.com",       KEYS_ROUTE,  "domain"   },
	    {"c@sub.e.com",   KEYS_ROUTE,  "parent"   },
	    {"c@a.sub.e.com", KEYS_ROUTE,  "parent"   },
	    {"c@[192.0.2.1]", KEYS_ROUTE,  "rest"     },
	};
	char *items[] = {
	    (char *)(uintptr_t) "inline:{a+x@e.org=full, a@e.org=bare, b+x=local-ext, b=local, "
				"@e.net=catch-all, e.com=domain, .e.com=parent, *=rest}"};
	struct setting_list specs = {items, 1};
	struct table_list list;
	struct why why;
	struct buf out;

	buf_init(&out, TABLE_VALUE_MAX);
	assert_int_equal(tables_open(&list, &specs, "", &why), 0);
	for (size_t i = 0; i < NELEM(asked); i++) {
		struct address a = address_split(str_from(asked[i].address), "+");
		int found = address_lookup(&list, &a, asked[i].keys, NULL, &out, NULL, &why);
		assert_int_equal(found, asked[i].expected != NULL);
		if (found)
			assert_string_equal(buf_cstr(&out), asked[i].expected);
	}
	tables_clear(&list);
	buf_free(&out);
}

static int
setup(KP_UNUSED void **state)
{
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(KP_UNUSED void **state)
{
	return tree_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lookup),
	    cmocka_unit_test(test_unix_root),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_refresh),
	    cmocka_unit_test(test_build),
	    cmocka_unit_test(test_alias_build),
	    cmocka_unit_test(test_alias_errors),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_address_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
