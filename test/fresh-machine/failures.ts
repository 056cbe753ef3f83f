/** What can go wrong on a real machine at each step of an install: no step is made to fail from inside. */

export interface Failure {
  /** Of the installer, by its name; `staging` and before are the shell's. */
  readonly step: string
  readonly cause: string
  /** Shell commands that bring it about and take it away again. */
  readonly make: string
  readonly mend: string
  /** What the installer says. */
  readonly says: RegExp
}

const readOnly = (path: string) => ({
  make: `mkdir -p ${path}; mount --bind ${path} ${path} && mount -o remount,bind,ro ${path}`,
  mend: `umount ${path}`,
  says: /EROFS|[Rr]ead-only/,
})

const dropIn = (unit: string) => ({
  make: `mkdir /etc/systemd/system/${unit}.d && printf '[Service]\\nExecStartPre=/bin/false\\n' >/etc/systemd/system/${unit}.d/own.conf`,
  mend: `rm -r /etc/systemd/system/${unit}.d; systemctl daemon-reload; systemctl reset-failed`,
})

export const FAILURES: readonly Failure[] = [
  {
    step: 'packages',
    cause: 'a package is damaged: its program is gone',
    make: 'mv /usr/bin/curl /usr/bin/curl.away',
    mend: 'mv /usr/bin/curl.away /usr/bin/curl',
    // The bundle carries packages of the release that it was made on only.
    says: /(could not install|not installed): curl/,
  },
  {
    step: 'staging',
    cause: 'the disk is full',
    make: 'mount -t tmpfs -o size=20m full /opt',
    mend: 'umount /opt',
    says: /No space left/,
  },
  {
    step: 'configuration',
    cause: 'the administrator made a mistake in gateway.yaml',
    make: `mkdir /etc/agent-anchor && echo 'polcy: strict' >/etc/agent-anchor/gateway.yaml`,
    mend: 'rm /etc/agent-anchor/gateway.yaml; rmdir /etc/agent-anchor',
    says: /unknown key `polcy`/,
  },
  {
    step: 'accounts',
    cause: 'the tool that makes accounts is gone',
    make: 'mv /usr/sbin/useradd /usr/sbin/useradd.away',
    mend: 'mv /usr/sbin/useradd.away /usr/sbin/useradd',
    says: /useradd|addgroup/,
  },
  {
    step: 'directories',
    cause: 'a file is where the state is to be',
    make: 'echo mine >/var/lib/agent-anchor',
    mend: 'rm /var/lib/agent-anchor',
    says: /\/var\/lib\/agent-anchor/,
  },
  {
    step: 'keys',
    cause: "the administrator's own policy does not parse",
    make: `mkdir -p /etc/agent-anchor/policies && echo 'nonsense' >/etc/agent-anchor/policies/standard.yaml`,
    mend: 'rm -r /etc/agent-anchor/policies; rmdir /etc/agent-anchor',
    says: /standard\.yaml/,
  },
  { step: 'command', cause: '/usr/local/bin is read-only', ...readOnly('/usr/local/bin') },
  {
    step: 'trust',
    cause: 'the anchors are read-only',
    ...readOnly('/usr/local/share/ca-certificates'),
  },
  { step: 'environment', cause: '/etc/profile.d is read-only', ...readOnly('/etc/profile.d') },
  { step: 'service', cause: 'units are read-only', ...readOnly('/etc/systemd/system') },
  {
    step: 'service',
    cause: "a drop-in of the administrator's keeps the daemon from starting",
    ...dropIn('agent-anchor.service'),
    says: /did not start/,
  },
  {
    step: 'proof',
    cause: 'there is no account nobody, as whom the call is made',
    make: "sed -i.away '/^nobody:/d' /etc/passwd",
    mend: 'mv /etc/passwd.away /etc/passwd',
    says: /getent passwd nobody/,
  },
  {
    step: 'fence',
    cause: 'a drop-in keeps the fence from starting',
    ...dropIn('agent-anchor-fence.service'),
    says: /agent-anchor-fence/,
  },
]

/** Where an interruption meets the installer: as soon as this is there. */
export const INTERRUPTIONS: readonly { readonly step: string; readonly path: string }[] = [
  { step: 'staging', path: '/opt/agent-anchor.new' },
  { step: 'environment', path: '/etc/profile.d/agent-anchor-gateway.sh' },
  { step: 'service', path: '/run/agent-anchor/supervisor.json' },
]
