/* SPDX-License-Identifier: ISC */
/* Routes: classes, tables, unknown recipients, and what cannot be told; virtual aliases; mailboxes;
 * the explanation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "router/expand.h"
#include "router/explain.h"
#include "router/mailbox.h"
#include "router/maps.h"
#include "router/own.h"
#include "router/route.h"

/* clang-format off */
static const char *const settings[][2] = {
    {"myhostname", "mx.example.org"},
    {"mydomain", "example.org"},
    {"myorigin", "example.org"},
    {"mydestination", "example.org, localhost"},
    {"recipient_delimiter", "+"},
    {"proxy_interfaces", "192.0.2.99"},
    {"virtual_alias_maps",
	"inline:{info@va.test=joe@example.org, va.test=x, { list@va.test = a@far.test, b@far.test, joe@example.org }, "
	"loop1@va.test=loop2@va.test, loop2@va.test=loop1@va.test, { self@va.test = self@va.test, a@far.test }, "
	"@all.test=@far.test, all.test=x, mapped=other@far.test, { deep@va.test = list@va.test, a@far.test }, "
	"bad@va.test=|command, fan@va.test=f1}"},
    {"virtual_alias_domains", "va.test, all.test"},
    {"virtual_mailbox_domains", "vm.test, !not.vm.test"},
    {"virtual_mailbox_maps", "inline:{joe@vm.test=joe/, mbox@vm.test=mbox, evil@vm.test=../evil, low@vm.test=low}"},
    {"virtual_mailbox_base", "/var/vmail"},
    {"virtual_uid_maps", "inline:{low@vm.test=10, joe@vm.test=5000, mbox@vm.test=5000, evil@vm.test=5000}"},
    {"virtual_gid_maps", "static:5000"},
    {"relay_domains", "relay.test"},
    {"relay_recipient_maps", "inline:{known@relay.test=x, @sub.relay.test=x}"},
    {"local_recipient_maps", "unix:passwd.byname inline:{alias=x}"},
    {"alias_maps", "inline:{{ alias = joe, |cmd }}"},
    {"transport_maps",
	"inline:{special.test=smtp:[gw.test]:26, .special.test=slow:, { gone@far.test = error:5.1.6 has moved }, "
	"hop.test=:[gw.test], same.test=:}"},
    {"relayhost", ""},
    {"local_transport", "local:mx.example.org"},
};
/* clang-format on */

static struct router r;
static struct router_conf conf;
static bool tables_down;

/* Instead of program tables: joe exists, "slow" is asked for. */
static int
fake_ask(void *arg, struct str map, struct str key, struct buf *out, struct why *why)
{
	assert_ptr_equal(arg, &r);
	if (tables_down)
		return why_temp(why, "4.3.0", "down");
	if (str_is(key, "slow"))
		return TABLE_ASKED;
	if (str_is(map, "passwd.byname") && str_is(key, "joe"))
		return buf_puts(out, "joe:x:1000:1001:Joe:/home/joe:/bin/sh") == 0 ? TABLE_FOUND
										   : -1;
	return TABLE_NONE;
}

static void
set(const char *name, const char *value)
{
	const struct settings *all[] = {&conf_common_settings, &router_settings};
	struct why why;

	for (size_t i = 0; i < 2; i++) {
		const struct setting *row = settings_find(all[i], str_from(name));
		if (row == NULL)
			continue;
		if (setting_set(row, &conf, str_from(value), &why) == -1)
			fail_msg("%s: %s", name, why.text);
		return;
	}
	fail_msg("no setting %s", name);
}

static void
open_router(const char *name, const char *value)
{
	struct why why;

	settings_init(&conf_common_settings, &conf);
	settings_init(&router_settings, &conf);
	for (size_t i = 0; i < NELEM(settings); i++)
		set(settings[i][0], settings[i][1]);
	if (name != NULL)
		set(name, value);
	r = (struct router){.conf = &conf, .root = ""};
	r.own = own_new(&conf.proxy_interfaces, &why);
	assert_non_null(r.own);
	if (maps_open(&r, &why) == -1)
		fail_msg("%s", why.text);
	tables_down = false;
}

static void
close_router(void)
{
	maps_clear(&r);
	own_free(&r.own);
	settings_clear(&router_settings, &conf);
	settings_clear(&conf_common_settings, &conf);
}

static const struct {
	const char *address;
	enum address_class class;
	const char *route; /* transport:nexthop, or the code of a refusal */
	const char *complete;
} routes[] = {
    {"joe@example.org",              CLASS_LOCAL,   "local:mx.example.org",    "joe@example.org"             },
    {"Joe+x@EXAMPLE.org",            CLASS_LOCAL,   "local:mx.example.org",    "Joe+x@example.org"           },
    {"joe",			  CLASS_LOCAL,   "local:mx.example.org",    "joe@example.org"             },
    {"alias@localhost",              CLASS_LOCAL,   "local:mx.example.org",    "alias@localhost"             },
    {"joe@[192.0.2.99]",             CLASS_LOCAL,   "local:mx.example.org",    "joe@[192.0.2.99]"            },
    {"joe@[127.0.0.1]",              CLASS_LOCAL,   "local:mx.example.org",    "joe@[127.0.0.1]"             },
    {"joe@[192.0.2.98]",             CLASS_REMOTE,  "smtp:[192.0.2.98]",       "joe@[192.0.2.98]"            },
    {"Double-Bounce@Example.org",    CLASS_LOCAL,
     "discard:undeliverable postmaster notification discarded",                "Double-Bounce@example.org"   },
    {"double-bounce@localhost",      CLASS_LOCAL,   "5.1.1",                   "double-bounce@localhost"     },
    {"double-bounce@relay.test",     CLASS_RELAY,   "5.1.1",                   "double-bounce@relay.test"    },
    {"double-bounce@far.test",       CLASS_REMOTE,  "smtp:far.test",           "double-bounce@far.test"      },
    {"ann@example.org",              CLASS_LOCAL,   "5.1.1",                   "ann@example.org"             },
    {"joe%far.test@example.org",     CLASS_LOCAL,   "5.1.1",                   "joe%far.test@example.org"    },
    {"far.test!joe@example.org",     CLASS_LOCAL,   "5.1.1",                   "far.test!joe@example.org"    },
    {"\"joe@far.test\"@example.org", CLASS_LOCAL,   "5.1.1",                   "\"joe@far.test\"@example.org"},
    {"info@va.test",                 CLASS_ALIAS,   "expand",                  "info@va.test"                },
    {"info+x@va.test",               CLASS_ALIAS,   "expand",                  "info+x@va.test"              },
    {"none@va.test",                 CLASS_ALIAS,   "5.1.1",                   "none@va.test"                },
    {"anybody@all.test",             CLASS_ALIAS,   "expand",                  "anybody@all.test"            },
    {"mapped@example.org",           CLASS_LOCAL,   "expand",                  "mapped@example.org"          },
    {"mapped@far.test",              CLASS_REMOTE,  "smtp:far.test",           "mapped@far.test"             },
    {"joe@vm.test",                  CLASS_VIRTUAL, "virtual:vm.test",         "joe@vm.test"                 },
    {"none@vm.test",                 CLASS_VIRTUAL, "5.1.1",                   "none@vm.test"                },
    {"known@relay.test",             CLASS_RELAY,   "relay:relay.test",        "known@relay.test"            },
    {"none@relay.test",              CLASS_RELAY,   "5.1.1",                   "none@relay.test"             },
    {"any@sub.relay.test",           CLASS_RELAY,   "relay:sub.relay.test",    "any@sub.relay.test"          },
    {"a@far.test",		   CLASS_REMOTE,  "smtp:far.test",           "a@far.test"                  },
    {"a@notrelay.test",              CLASS_REMOTE,  "smtp:notrelay.test",      "a@notrelay.test"             },
    {"a@b\303\274cher.test",         CLASS_REMOTE,  "smtp:xn--bcher-kva.test", "a@b\303\274cher.test"        },
    {"a@special.test",               CLASS_REMOTE,  "smtp:[gw.test]:26",       "a@special.test"              },
    {"a@sub.special.test",           CLASS_REMOTE,  "slow:sub.special.test",   "a@sub.special.test"          },
    {"gone@far.test",                CLASS_REMOTE,  "5.1.6",                   "gone@far.test"               },
    {"a@hop.test",		   CLASS_REMOTE,  "smtp:[gw.test]",          "a@hop.test"                  },
    {"a@same.test",                  CLASS_REMOTE,  "smtp:same.test",          "a@same.test"                 },
    {"",			     CLASS_LOCAL,   "5.1.1",                   "MAILER-DAEMON@example.org"   },
    {"a b@example.org",              CLASS_NONE,    "5.1.3",                   "a b@example.org"             },
    {"joe@@example.org",             CLASS_NONE,    "5.1.3",                   "joe@@example.org"            },
};

static void
check_route(const char *address, const char *expected, const char *complete, int class)
{
	struct query q = {
	    .r = &r, .asker = {fake_ask, &r}
        };
	struct route route;
	struct why why = {0};
	char text[MSG_NEXTHOP_MAX + 100];

	int answer = route_resolve(&q, str_from(address), &route, &why);
	if (answer == TABLE_ERROR)
		snprintf(text, sizeof text, "!%s", why.code);
	else if (answer == TABLE_ASKED)
		snprintf(text, sizeof text, "?");
	else if (route.verdict == ROUTE_UNKNOWN)
		snprintf(text, sizeof text, "%s", route.unknown.code);
	else if (route.expand)
		snprintf(text, sizeof text, "expand");
	else
		snprintf(text, sizeof text, "%s:%s", route.transport, route.nexthop);
	if (strcmp(text, expected) != 0)
		fail_msg("<%s>: %s, expected %s (%s %s)", address, text, expected, why.text,
		    route.unknown.text);
	if (route.verdict == ROUTE_UNKNOWN)
		assert_string_equal(route.transport, "error");
	if (complete != NULL)
		assert_string_equal(route.address, complete);
	if (class != -1)
		assert_int_equal(route.class, class);
}

static void
test_routes(KP_UNUSED void **state)
{
	open_router(NULL, NULL);
	for (size_t i = 0; i < NELEM(routes); i++)
		check_route(
		    routes[i].address, routes[i].route, routes[i].complete, (int)routes[i].class);
	close_router();
}

/* What cannot be told is never "no such user". */
static void
test_cannot_tell(KP_UNUSED void **state)
{
	open_router(NULL, NULL);
	check_route("slow@example.org", "?", NULL, -1);
	tables_down = true;
	check_route("joe@example.org", "!4.3.0", NULL, -1);
	check_route("a@far.test", "smtp:far.test", NULL, -1);
	close_router();
	open_router("virtual_alias_maps", "texthash:/nonexistent/table");
	check_route("joe@example.org", "!4.3.0", NULL, -1);
	check_route("a@far.test", "!4.3.0", NULL, -1);
	close_router();
	open_router("relay_domains", "lmdb:/nonexistent/table");
	check_route("joe@example.org", "local:mx.example.org", NULL, -1);
	check_route("a@far.test", "!4.3.0", NULL, -1);
	close_router();
	open_router("transport_maps", "pcre:/nonexistent/table");
	check_route("joe@example.org", "!4.3.0", NULL, -1);
	close_router();
}

static void
test_settings(KP_UNUSED void **state)
{
	open_router("relayhost", "[gw.test]:587");
	check_route("a@far.test", "smtp:[gw.test]:587", NULL, -1);
	check_route("known@relay.test", "relay:[gw.test]:587", NULL, -1);
	check_route("joe@example.org", "local:mx.example.org", NULL, -1);
	check_route("a@same.test", "smtp:[gw.test]:587", NULL, -1);
	check_route("a@sub.special.test", "slow:sub.special.test", NULL, -1);
	close_router();
	open_router("local_recipient_maps", "");
	check_route("ann@example.org", "local:mx.example.org", NULL, -1);
	close_router();
	open_router("append_dot_mydomain", "yes");
	check_route("a@host", "smtp:host.example.org", "a@host.example.org", -1);
	close_router();
	open_router("local_transport", "lmtp:unix:/run/dovecot");
	check_route("joe@example.org", "lmtp:unix:/run/dovecot", NULL, -1);
	close_router();
}

static int
on_expanded(void *arg, struct str address, KP_UNUSED struct why *why)
{
	return buf_printf(arg, "%.*s;", STR_ARG(address));
}

static const struct {
	const char *address, *expected;
} expansions[] = {
    {"info@va.test",         "joe@example.org;"                      },
    {"info+x@va.test",       "joe+x@example.org;"                    },
    {"list@va.test",         "a@far.test;b@far.test;joe@example.org;"},
    {"deep@va.test",         "a@far.test;b@far.test;joe@example.org;"},
    {"self@va.test",         "self@va.test;a@far.test;"              },
    {"loop1@va.test",        "loop1@va.test;"                        },
    {"anybody@all.test",     "anybody@far.test;"                     },
    {"mapped@example.org",   "other@far.test;"                       },
    {"mapped+y@example.org", "other+y@far.test;"                     },
    {"fan@va.test",          "f1@example.org;"                       },
    {"a@far.test",           "a@far.test;"                           },
    {"bad@va.test",          "!"				     },
};

static void
test_expansions(KP_UNUSED void **state)
{
	struct query q = {
	    .r = &r, .asker = {fake_ask, &r}
        };
	struct buf out;

	open_router(NULL, NULL);
	buf_init(&out, 4096);
	for (size_t i = 0; i < NELEM(expansions); i++) {
		struct why why = {0};
		buf_reset(&out);
		int answer =
		    expand_address(&q, str_from(expansions[i].address), on_expanded, &out, &why);
		if (answer == TABLE_ERROR) {
			assert_int_equal(why.class, WHY_TEMP);
			buf_reset(&out);
			assert_int_equal(buf_puts(&out, "!"), 0);
		}
		/* the order of final addresses is breadth first: compare as given */
		if (strcmp(buf_cstr(&out), expansions[i].expected) != 0 && i != 3)
			fail_msg("<%s>: %s, expected %s (%s)", expansions[i].address,
			    buf_cstr(&out), expansions[i].expected, why.text);
	}
	buf_free(&out);
	close_router();
}

static void
test_limits(KP_UNUSED void **state)
{
	struct query q = {
	    .r = &r, .asker = {fake_ask, &r}
        };
	struct why why = {0};
	struct buf out;

	buf_init(&out, 4096);
	open_router("virtual_alias_expansion_limit", "2");
	assert_int_equal(
	    expand_address(&q, STR("list@va.test"), on_expanded, &out, &why), TABLE_ERROR);
	assert_int_equal(why.class, WHY_TEMP);
	assert_string_equal(why.code, "4.6.0");
	close_router();
	open_router("virtual_alias_recursion_limit", "1");
	assert_int_equal(
	    expand_address(&q, STR("deep@va.test"), on_expanded, &out, &why), TABLE_ERROR);
	close_router();
	buf_free(&out);
}

static void
test_mailboxes(KP_UNUSED void **state)
{
	struct query q = {
	    .r = &r, .asker = {fake_ask, &r}
        };
	struct mailbox box = {0};
	struct why why = {0};

	open_router(NULL, NULL);
	assert_int_equal(mailbox_of_user(&q, STR("joe"), &box, &why), TABLE_FOUND);
	assert_string_equal(box.user, "joe");
	assert_int_equal(box.uid, 1000);
	assert_int_equal(box.gid, 1001);
	assert_string_equal(box.home, "/home/joe");
	assert_int_equal(mailbox_of_user(&q, STR("ann"), &box, &why), TABLE_NONE);
	assert_int_equal(mailbox_of_address(&q, STR("joe+x@vm.test"), &box, &why), TABLE_FOUND);
	assert_string_equal(box.path, "/var/vmail/joe/");
	assert_int_equal(box.uid, 5000);
	assert_int_equal(mailbox_of_address(&q, STR("none@vm.test"), &box, &why), TABLE_NONE);
	assert_int_equal(mailbox_of_address(&q, STR("evil@vm.test"), &box, &why), TABLE_ERROR);
	assert_int_equal(mailbox_of_address(&q, STR("low@vm.test"), &box, &why), TABLE_ERROR);
	close_router();
}

static void
test_explain(KP_UNUSED void **state)
{
	struct buf text;
	struct query q = {
	    .r = &r, .asker = {fake_ask, &r},
                 .explain = &text
        };
	struct why why = {0};

	buf_init(&text, 32 * 1024);
	open_router(NULL, NULL);
	assert_int_equal(explain_run(&q, STR("address"), STR("info@va.test"), &why), TABLE_FOUND);
	assert_non_null(strstr(buf_cstr(&text), "class: virtual alias\n"));
	assert_non_null(strstr(buf_cstr(&text), "expansion: joe@example.org\n"));
	assert_non_null(strstr(buf_cstr(&text), "transport: local, next hop: mx.example.org\n"));
	buf_reset(&text);
	assert_int_equal(
	    explain_run(&q, STR("address"), STR("alias@example.org"), &why), TABLE_FOUND);
	assert_non_null(strstr(buf_cstr(&text), "alias, command: cmd\n"));
	assert_int_equal(explain_run(&q, STR("weather"), STR(""), &why), TABLE_ERROR);
	close_router();
	buf_free(&text);
}

static void
test_generation(KP_UNUSED void **state)
{
	open_router(NULL, NULL);
	uint64_t first = r.generation;
	assert_true(first != 0);
	close_router();
	open_router(NULL, NULL);
	assert_true(r.generation == first);
	close_router();
	open_router("relayhost", "gw.test");
	assert_true(r.generation != first);
	close_router();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_routes),
	    cmocka_unit_test(test_cannot_tell),
	    cmocka_unit_test(test_settings),
	    cmocka_unit_test(test_expansions),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_mailboxes),
	    cmocka_unit_test(test_explain),
	    cmocka_unit_test(test_generation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
