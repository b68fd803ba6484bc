/* SPDX-License-Identifier: ISC */
/*
 * remote: the SMTP and LMTP client. Runs as kp-remote in an empty root; opens connections and
 * nothing else. Trusted: master, and qmgr as far as its messages are well formed. Hostile: every
 * octet of a server, and what resolver says.
 */
#include "lib/service/service.h"
#include "remote/service.h"

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &remote_service);
}
