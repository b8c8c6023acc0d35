/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Tests of the survey of files: each slip in a name, a place or a section is told once, with the right path.
 * May touch: one scratch folder in /tmp, which it removes.
 */

#include "unit.h"

#include <ftw.h>
#include <sys/stat.h>

#include "base/config.h"
#include "base/message.h"
#include "source/survey.h"

static char root[40], usr[60], etc[60], network[60], lib[60];

static const SurveyLink links[] = {
        { .name = "wwan0", .type_name = "wwan", .connection = "LTE", .network_file = NULL },
        { .name = "eth0", .type_name = "ether", .network_file = NULL },
};

static char network_file[100];

static void make(const char *folder, const char *name, const char *text) {
        _cleanup_(freep) char *path = string_format("%s/%s", folder, name);
        char *slash = strrchr(path, '/');
        FILE *file;

        *slash = '\0';
        (void) mkdir(path, 0755);
        *slash = '/';
        file = fopen(path, "w");
        assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
        assert(chmod(path, 0644) == 0);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
        return remove(path);
}

static void scratch_make(void) {
        strcpy(root, "/tmp/test-survey-XXXXXX");
        assert(mkdtemp(root));
        const struct {
                char *path;
                const char *name;
        } folders[] = { { usr, "usr" }, { etc, "etc" }, { network, "network" }, { lib, "lib" } };

        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                snprintf(folders[i].path, 60, "%s/%s", root, folders[i].name);
                assert(mkdir(folders[i].path, 0755) == 0);
        }
        snprintf(network_file, sizeof(network_file), "%s/20-eth.network", network);
}

static void scratch_done(void) {
        assert(nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static Survey survey(void) {
        const char *const directories[] = { usr, etc, NULL }, *const folders[] = { network, lib, NULL };
        SurveyLink known[ELEMENTS(links)];
        Survey all;

        memcpy(known, links, sizeof(links));
        known[1].network_file = network_file;
        assert(survey_make(directories, folders, known, ELEMENTS(known), &all) == 0);
        return all;
}

/* What is told when there is only this file: "-" nothing; "" that it is there, and for no link; else the
 * first complaint has these words, or it is for this link. Words that begin with "/" are a path in the
 * scratch folder. */
static void assert_told(const char *folder, const char *name, const char *text, const char *words) {
        scratch_make();
        make(network, "20-eth.network", "[Match]\nName=eth0\n");
        make(folder, name, text);

        Survey all = survey();
        const SurveyFile *file = all.files;

        assert(all.count == (streq(words, "-") ? 0 : 1));
        if (all.count > 0 && words[0] != '\0' && !streq(words, "wwan0") && !streq(words, "eth0")) {
                assert(strings_count(file->complaints) == 1);

                _cleanup_(freep) char *english = message_english(file->complaints[0]);
                _cleanup_(freep) char *path = string_format("%s%s", words[0] == '/' ? root : "", words);

                if (!strstr(english, path))
                        fprintf(stderr, "%s\n%s\n", english, path);
                assert(strstr(english, path));
        } else if (all.count > 0) {
                assert(!file->complaints);
                assert(strings_count(file->links) == (words[0] != '\0'));
                assert(words[0] == '\0' || streq(file->links[0], words));
        }
        survey_done(&all);
        scratch_done();
}

static const char ours[] = "[X-Underpass]\nTunnel=yes\nRemotePorts=443\n";

static void test_profiles(void) {
        assert_told(etc, "x.conf", "[Match]\nName=wwan0\n[X-Underpass]\nMTU=1400\n", "wwan0");
        assert_told(usr, "x.conf", "[Match]\nConnection=LTE\n[X-Underpass]\nMTU=1400\n", "wwan0");
        assert_told(etc, "x.conf", "[Match]\nName=wwlan0\n[X-Underpass]\nTunnel=no\n", "");
        assert_told(etc, "x.conf",
                    "[Match]\nName=wwan0\n[X-underpass]\nTunnel=no\n[X-Underpass]\nMTU=1400\n",
                    "did you mean [X-Underpass]?");
        assert_told(etc, "x.conf", ours, "[Match] has no condition");
        assert_told(etc, "x.conf", "[Match]\nName=wwan0\n[X-Underpass]\nTunel=no\n", "did you mean Tunnel?");
        assert_told(etc, "lte", ours, "ends in .conf. Move it to ");
        assert_told(etc, "lte", ours, "/etc/lte.conf");
        assert_told(etc, "foo.network.d/x.conf", ours, "Move it to /etc/systemd/network/foo.network.d.");
        assert_told(etc, "foo.network", ours, "Move it to /etc/systemd/network/foo.network.");
        assert_told(etc, "sub/x.conf", ours, "profiles are files, not folders");
        assert_told(etc, "x.conf", "", "-");
        assert_told(etc, "x.conf~", ours, "-");
        assert_told(etc, ".x.conf.swp", ours, "-");
        assert_told(etc, "x.conf.dpkg-old", ours, "-");
}

static void test_networkd(void) {
        assert_told(network, "20-eth.network", ours, "eth0");
        assert_told(network, "30-other.network", ours, "");
        assert_told(lib, "20-eth.network", ours, "");
        assert_told(network, "20-eth.network.d/x.conf", "[X-Underpass]\nTunnel=yes\n", "eth0");
        assert_told(lib, "20-eth.network.d/x.conf", ours, "eth0");
        assert_told(network, "20-eth.network.d/x", ours, "ends in .conf. Move it to ");
        assert_told(network, "20-ethh.network.d/x.conf", ours,
                    "Move it to /etc/systemd/network/20-eth.network.d.");
        assert_told(network, "10-lte.network.d/x.conf", ours, "there is no file 10-lte.network");
        assert_told(network, "20-eth.d/x.conf", ours, "Move it to /etc/systemd/network/20-eth.network.d.");
        assert_told(network, "10-lte.d/x.conf", ours, "there is no file 10-lte.network");
        assert_told(network, "wlan.conf", ours, "/network/wlan.conf.network.");
        for (size_t i = 0; i < 3; i++) {
                static const char *const names[] = { "X-underpass", "Underpass", "x_underpass" };
                _cleanup_(freep) char *text =
                        string_format("[Match]\nName=eth0\n[%s]\nTunnel=yes\n", names[i]);

                assert_told(network, "20-eth.network", text, "did you mean [X-Underpass]?");
                assert_told(network, "20-eth.network.d/x.conf", text, "did you mean [X-Underpass]?");
        }
        /* What says nothing to us is networkd's business alone. */
        assert_told(network, "none.network.d/x.conf", "[Network]\nDHCP=yes\nrubbish\n", "-");
        assert_told(network, "none.d/x.conf", "[Network]\nDHCP=yes\n", "-");
        assert_told(network, "wg0.netdev", "[WireGuard]\nPrivateKey=x\n", "-");
        assert_told(network, "20-eth.network.d/x", "[Network]\nDHCP=yes\n", "-");
}

/* The service takes a file that is not UTF-8 for an error, wherever the stray bytes are, if it has keys for
 * us. */
static void test_encoding(void) {
        static const char *const sections[] = { "X-Underpass", "Underpass" };
        static const char words[] = ":3: \"# caf\\xe9\" is not valid UTF-8";

        for (size_t i = 0; i < ELEMENTS(sections); i++) {
                _cleanup_(freep) char *text = string_format(
                        "[Match]\nName=eth0\n# caf\xe9\n[%s]\nTunnel=yes\nRemotePorts=443\n", sections[i]);

                assert_told(network, "20-eth.network", text, words);
                assert_told(network, "20-eth.network.d/x.conf", text, words);
                assert_told(etc, "x.conf", text, words);
        }
        assert_told(network, "20-eth.network", "[Match]\nName=eth0\n# caf\xe9\n", "-");
}

/* A file that another one of its name replaces is not read. */
static void test_masked(void) {
        scratch_make();
        make(usr, "x.conf", "[X-underpass]\nTunnel=yes\n");
        make(etc, "x.conf", "[Match]\nName=wwan0\n[X-Underpass]\nMTU=1400\n");

        Survey all = survey();

        assert(all.count == 1 && !all.files[0].complaints && streq(all.files[0].links[0], "wwan0"));
        survey_done(&all);
        scratch_done();
}

/* Others may have written it. */
static void test_owner(void) {
        scratch_make();
        make(etc, "x.conf", "[Match]\nName=wwan0\n[X-Underpass]\nMTU=1400\n");

        _cleanup_(freep) char *path = string_format("%s/x.conf", etc);
        assert(chmod(path, 0666) == 0);
        Survey all = survey();
        _cleanup_(freep) char *english = message_english(all.files[0].complaints[0]);

        assert(all.count == 1 && !all.files[0].links && strstr(english, "chmod go-w"));
        survey_done(&all);
        scratch_done();
}

/* Comments make the text longer than a profile may be. */
static char *lengthened(const char *text) {
        char *longer = calloc(1, CONFIG_PROFILE_SIZE_MAX + strlen(text) + 2);

        assert(longer);
        for (size_t i = 0; i < CONFIG_PROFILE_SIZE_MAX + strlen(text) + 1; i++)
                longer[i] = i % 2 == 0 ? '#' : '\n';
        memcpy(longer, text, strlen(text));
        return longer;
}

/* The service refuses a profile that is as long as a .network file may well be. */
static void test_size(void) {
        _cleanup_(freep) char *profile = lengthened("[Match]\nName=wwan0\n[X-Underpass]\nMTU=1400\n");
        _cleanup_(freep) char *file = lengthened(ours);

        assert_told(etc, "x.conf", profile, "/etc/x.conf");
        assert_told(network, "20-eth.network", file, "eth0");
}

int main(void) {
        static const Test tests[] = {
                { "profiles: slips of names, places and sections are told", test_profiles },
                { "networkd: slips of names, places and sections are told", test_networkd },
                { "profiles that are too large are told, .network files may be larger", test_size },
                { "a file that is not UTF-8 is told", test_encoding },
                { "a masked file is not told of", test_masked },
                { "a file that others can change is told of", test_owner },
        };

        umask(0022);
        return run_tests(tests, ELEMENTS(tests));
}
