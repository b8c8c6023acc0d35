/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Fuzz target: an answer of networkd to DescribeLink(). May touch: nothing.
 */

#include "unit.h"

#include "fuzz.h"
#include "source/networkd-files.h"

static void check_path(const char *path, const char *suffix) {
        const size_t length = strlen(path);

        assert(path[0] == '/' && strstr(path, "/systemd/network/") && !strstr(path, "/../"));
        assert(length > strlen(suffix) && streq(path + length - strlen(suffix), suffix));
        assert(utf8_valid(path, length));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(networkd_answer_done) NetworkdAnswer answer = {};
        _cleanup_(freep) char *text = strndup((const char *) data, size);

        assert(text);
        int r = networkd_answer_parse(text, 3, &answer);
        assert(r == 0 || r == -EBADMSG);
        assert((answer.network_file != NULL) == (r == 0 && answer.claim == NETWORKD_MANAGED));
        assert(answer.network_file || !answer.dropins);
        if (answer.network_file)
                check_path(answer.network_file, ".network");
        for (size_t i = 0; i < strings_count(answer.dropins); i++)
                check_path(answer.dropins[i], ".conf");
        return 0;
}
