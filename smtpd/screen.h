/* SPDX-License-Identifier: ISC */
/* The tests before the greeting: parsed once, at start. */
#ifndef SMTPD_SCREEN_H
#define SMTPD_SCREEN_H

#include "lib/base/attr.h"

struct server;
struct why;

int screen_open(struct server *server, struct why *why) KP_MUST_USE;
void screen_close(struct server *server);

#endif
