/* SPDX-License-Identifier: ISC */
/* Actions of access tables, and the grammar of restriction lists. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "lib/access/action.h"
#include "lib/access/list.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"

static const struct {
	const char *text;
	enum action_kind kind;
	int smtp;
	const char *code, *rest;
} actions[] = {
    {"OK",			ACTION_OK,              0,   "",      ""                         },
    {"20261122",		  ACTION_OK,              0,   "",      NULL                       },
    {"dunno",		     ACTION_DUNNO,           0,   "",      ""                         },
    {"REJECT",		    ACTION_REJECT,          0,   "",      ""                         },
    {"reject 5.7.9 go away",      ACTION_REJECT,          0,   "5.7.9", "go away"                  },
    {"554 5.7.1 no",              ACTION_REPLY,           554, "5.7.1", "no"                       },
    {"450",		       ACTION_REPLY,           450, "",      ""                         },
    {"450 5.7.1 odd",             ACTION_REPLY,           450, "",      "odd"                      },
    {"5500 no",		   ACTION_RULES,           0,   "",      "5500 no"                  },
    {"DEFER_IF_PERMIT later",     ACTION_DEFER_IF_PERMIT, 0,   "",      "later"                    },
    {"HOLD",		      ACTION_HOLD,            0,   "",      ""                         },
    {"REDIRECT a@b.example",      ACTION_REDIRECT,        0,   "",      "a@b.example"              },
    {"REDIRECT nowhere",          ACTION_RULES,           0,   "",      "REDIRECT nowhere"         },
    {"PREPEND X-A: b",            ACTION_PREPEND,         0,   "",      "X-A: b"                   },
    {"PREPEND X A: b",            ACTION_RULES,           0,   "",      "PREPEND X A: b"           },
    {"FILTER smtp:[127.0.0.1]:9", ACTION_FILTER,          0,   "",      "smtp:[127.0.0.1]:9"       },
    {"permit_mynetworks, reject", ACTION_RULES,           0,   "",      "permit_mynetworks, reject"},
};

static void
test_actions(KP_UNUSED void **state)
{
	for (size_t i = 0; i < NELEM(actions); i++) {
		struct action a = action_parse(str_from(actions[i].text));
		assert_int_equal(a.kind, actions[i].kind);
		assert_int_equal(a.smtp, actions[i].smtp);
		assert_true(str_is(a.code, actions[i].code));
		if (actions[i].rest != NULL)
			assert_true(str_is(a.text, actions[i].rest));
	}
}

static const struct {
	const char *text;
	size_t n;          /* rules, where it is good */
	const char *fault; /* a part of what is said; NULL: it is good */
} lists[] = {
    {"",							  0, NULL				    },
    {"permit_mynetworks, reject",                                 2, NULL                                    },
    {"warn_if_reject reject_rbl_client zone.example reject",      2, NULL                                    },
    {"{ permit_mynetworks, reject }",                             1, NULL                                    },
    {"lmdb:/etc/access, reject",				  2, NULL                                    },
    {"check_client_access inline:{a=b, c=d} reject",              2, NULL                                    },
    {"check_policy_service {inet:127.0.0.1:10023, timeout=3s}",   1, NULL                                    },
    {"check_policy_service {inet:127.0.0.1:10023, timeout=soon}", 0, "no value"                              },
    {"check_policy_service {inet:127.0.0.1:10023, patience=3s}",  0, "not an option"                         },
    {"check_policy_service private/policy",                       0, "neither inet"                          },
    {"reject_spf_fail {softfail=defer}",                          1, NULL                                    },
    {"reject_spf_fail {softfail=perhaps}",                        0, "no value"                              },
    {"strict",						    1, NULL				    },
    {"round",						     0, "too deep"			      },
    {"reject_unauth_destinatoin",                                 0, "did you mean reject_unauth_destination"},
    {"reject_rbl_client",					 0, "needs a DNS zone"                      },
    {"sleep 1000",						0, "from 0 to"                             },
    {"warn_if_reject",					    0, "needs a restriction"                   },
    {"reject_maps_rbl",					   0, "reject_rbl_client ZONE"                },
};

static void
test_lists(KP_UNUSED void **state)
{
	char strict[] = "strict={permit_mynetworks, reject}", round[] = "round={round, reject}";
	char *items[] = {strict, round};
	struct setting_list classes = {items, 2};
	struct why why;

	for (size_t i = 0; i < NELEM(lists); i++) {
		struct access_rules_list list;
		int rc =
		    access_list_parse_text(&list, str_from(lists[i].text), AT_RCPT, &classes, &why);
		if ((rc == -1) != (lists[i].fault != NULL))
			print_error("%s: %s\n", lists[i].text, rc == -1 ? why.text : "taken");
		assert_int_equal(rc, lists[i].fault != NULL ? -1 : 0);
		assert_int_equal(list.n, lists[i].n);
		if (lists[i].fault != NULL)
			assert_non_null(strstr(why.text, lists[i].fault));
		access_list_clear(&list);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_actions), cmocka_unit_test(test_lists)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
