/** Rootless containers: a user's own namespaces, their network a process of the user's (pasta, slirp4netns). */
import { tool } from './process.ts'

/**
 * Gives everybody the TUN device, as distributions do (mode 0666 by systemd's udev rules), in the laboratory's own
 * mount namespace only.
 */
export async function allowTunnels(): Promise<void> {
  await tool(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'laboratory', '/dev/net'])
  // linux/Documentation/admin-guide/devices.txt
  await tool(['mknod', '-m', '0666', '/dev/net/tun', 'c', '10', '200'])
}

/** A command in a rootless container with pasta. */
export const withPasta = (argv: readonly string[]): string[] => [
  ...['/usr/bin/pasta', '--config-net', '--quiet', '--', ...argv],
]

/** The same with slirp4netns. */
export const withSlirp = (argv: readonly string[]): string[] => ['/bin/sh', '-c', SLIRP, 'sh', ...argv]

const SLIRP = `
set -u
unshare --user --map-root-user --net sh -c '
  left=500
  until ip addr show dev tap0 2>/dev/null | grep -q "inet "; do
    left=$((left - 1))
    if [ "$left" -eq 0 ]; then echo "slirp4netns made no tap0" >&2; exit 97; fi
    sleep 0.02
  done
  exec "$@"' sh "$@" &
inner=$!
while kill -0 "$inner" && [ "$(readlink "/proc/$inner/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
slirp4netns --configure --mtu=65520 "$inner" tap0 </dev/null >/dev/null &
slirp=$!
wait "$inner"
code=$?
kill "$slirp"
exit "$code"`
