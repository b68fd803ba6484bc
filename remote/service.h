/* SPDX-License-Identifier: ISC */
/* remote's table for the service skeleton. */
#ifndef REMOTE_SERVICE_H
#define REMOTE_SERVICE_H

#include "lib/base/attr.h"
#include "remote/remote.h"

struct service_table;

extern const struct service_table remote_service;

/* For service_main(), and for the tests. */
int remote_start(struct service *service, struct why *why) KP_MUST_USE;
void remote_free(struct remote **rp);

#endif
