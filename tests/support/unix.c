/* Unix sockets, for machines that have nothing else that speaks to them:
     unix serve PATH...    answers at each PATH, for streams, and at each PATH.d, for
                           datagrams; returns when all are there
     unix connect PATH     "reached", or the error
     unix send PATH        the same of a datagram
     unix own PATH         makes both kinds at PATH itself and reaches both
     unix calls FIRST LAST   how many of these system calls the kernel does not have */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    return address;
}

static int served(const char *path, int type)
{
    struct sockaddr_un address = at(path);
    int fd = socket(AF_UNIX, type, 0);
    if (fd < 0 || bind(fd, (void *)&address, sizeof address) || chmod(path, 0666) ||
        (type == SOCK_STREAM && listen(fd, 100))) {
        perror(path);
        exit(9);
    }
    return fd;
}

static int say(int failed)
{
    puts(failed ? strerror(errno) : "reached");
    return failed;
}

static int reach(const char *path)
{
    struct sockaddr_un address = at(path);
    char answer[6] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&address, sizeof address))
        return say(1);
    errno = EPIPE;
    return say(read(fd, answer, 5) != 5 || strcmp(answer, "hello"));
}

static int send_to(const char *path)
{
    struct sockaddr_un address = at(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    return say(fd < 0 || sendto(fd, "x", 1, 0, (void *)&address, sizeof address) != 1);
}

int main(int count, char **words)
{
    static struct pollfd all[200];
    char name[200];
    int n = 0;
    if (count < 3)
        return 9;
    if (!strcmp(words[1], "connect"))
        return reach(words[2]);
    if (!strcmp(words[1], "send"))
        return send_to(words[2]);
    if (!strcmp(words[1], "calls")) {
        for (long call = atol(words[2]); call <= atol(words[3]); call++)
            n += syscall(call, -1L, -1L, -1L, -1L, -1L, -1L) < 0 && errno == ENOSYS;
        printf("%d\n", n);
        return 0;
    }
    for (int i = 2; i < count; i++) {
        all[n++].fd = served(words[i], SOCK_STREAM);
        snprintf(name, sizeof name, "%s.d", words[i]);
        all[n++].fd = served(name, SOCK_DGRAM);
    }
    if (fork()) {
        if (strcmp(words[1], "own"))
            return 0;
        return reach(words[2]) | send_to(name);
    }
    /* Whoever waits for the output's end does not wait for this. */
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (int i = 0; i < n; i++)
        all[i].events = POLLIN;
    while (poll(all, n, -1) > 0)
        for (int i = 0; i < n; i++) {
            if (!(all[i].revents & POLLIN))
                continue;
            if (i % 2) {
                recv(all[i].fd, name, sizeof name, 0);
            } else {
                int peer = accept(all[i].fd, NULL, NULL);
                (void)!write(peer, "hello", 5);
                close(peer);
            }
        }
    return 0;
}
