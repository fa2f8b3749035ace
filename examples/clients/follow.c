/* follow [SOCKET]: prints where the device stands, then every event as a JSON line. No library but libc.
 * cc -Wall -o follow follow.c
 *
 * The daemon sends each document and each event as one line that begins with a brace; what stands between them (the head, the sizes of
 * chunks) never does. So a program that wants only the lines needs no HTTP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *path = "/run/surefoot/status.sock";

/* Asks, and returns what comes back as a stream; NULL if nobody is there. */
static FILE *ask(const char *target) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return NULL;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return NULL;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        dprintf(fd, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target) < 0) {
        close(fd);
        return NULL;
    }
    return fdopen(fd, "r");
}

/* Prints the text of a JSON string field; the quotes in it are escaped, so the first bare one ends it. */
static void print_field(const char *line, const char *name) {
    const char *at = strstr(line, name);
    if (at == NULL) return;
    for (at += strlen(name); *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0') at++;
        putchar(*at);
    }
    putchar('\n');
}

int main(int argc, char **argv) {
    unsigned long long seen = 0;
    int told = 0;
    char *line = NULL, target[64];
    size_t room = 0;
    if (argc > 1) path = argv[1];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;; sleep(2)) {
        FILE *answer;
        if (!told && (answer = ask("/v1/status")) != NULL) {
            while (getline(&line, &room, answer) > 0)
                if (line[0] == '{') {
                    print_field(line, strstr(line, "\"error\":") ? "\"detail\":\"" : "\"summary\":\"");
                    told = 1;
                }
            fclose(answer);
        }
        snprintf(target, sizeof target, "/v1/events?after=%llu&follow=1", seen);
        if ((answer = ask(target)) == NULL) {
            fprintf(stderr, "follow: nobody answers at %s\n", path);
            continue;
        }
        while (getline(&line, &room, answer) > 0) {
            char *number = strstr(line, "\"number\":");
            if (line[0] != '{' || number == NULL) continue;
            seen = strtoull(number + strlen("\"number\":"), NULL, 10);
            fputs(line, stdout);
        }
        fclose(answer);
    }
}
