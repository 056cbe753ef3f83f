/** What agents are written in: how each makes one HTTPS call, and by what it trusts the gateway's certificates. */

/** What an answer to a call holds, as long as nothing says otherwise: the provider's word on the model. */
const ANSWER = '"id":"gpt-5"'

/** What git says in the place of an answer. */
export const NO_BRANCHES = 'no branches'

export interface Runtime {
  /** In reports. */
  readonly name: string
  /** In targets of calls and in files. */
  readonly key: string
  /** A shell command that prints the version. */
  readonly version: string
  /** A shell command that calls the URL `$1` and prints what it gets. */
  readonly call: string
  /** What it prints where the answer came. */
  readonly answer: string
  /** The store it reads, or the variable or managed policy (a file) without which it refuses. */
  readonly trusts: 'system store' | { readonly variable: string } | { readonly policy: string }
}

const npm = '/opt/runtimes/node_modules'
const architecture = process.arch === 'arm64' ? 'arm64' : 'x64'
const bunArchitecture = process.arch === 'arm64' ? 'aarch64' : 'x64'
const AUTHORIZATION = "'Authorization: Bearer sk-trust'"

type Difference = Partial<Pick<Runtime, 'answer' | 'trusts'>>

function runtime(
  name: string,
  key: string,
  version: string,
  call: string,
  { answer = ANSWER, trusts = 'system store' }: Difference = {},
): Runtime {
  return { name, key, version, call, answer, trusts }
}

const firstNumber = (command: string) => `${command} | grep -o '[0-9][0-9.]*[0-9]' | head -n 1`

function python(module: string, name = module, version = `import ${module}; print(${module}.__version__)`) {
  return runtime(
    `Python ${name}`,
    name,
    `/usr/bin/python3 -c '${version}'`,
    `/usr/bin/python3 /opt/programs/call_${module}.py "$1"`,
  )
}

/** The same with a certifi that reads no store: what a virtual environment has from PyPI. */
function certifi(module: 'requests' | 'httpx', variable: string): Runtime {
  const debians = python(module)
  return {
    ...debians,
    name: `${debians.name}, certifi's own roots`,
    key: `${module}-certifi`,
    call: `PYTHONPATH=/opt/programs/own-roots ${debians.call}`,
    trusts: { variable },
  }
}

function node(name: string, key: string, path: string, trusts: Runtime['trusts']): Runtime {
  return runtime(name, key, `${path} -p process.versions.node`, `${path} /opt/programs/call.mjs "$1"`, {
    trusts,
  })
}

const upstreamNode = (major: number) =>
  node(`Node ${major}`, `node${major}`, `${npm}/node-${major}-${architecture}/bin/node`, {
    variable: 'NODE_EXTRA_CA_CERTS',
  })

const deno = `${npm}/@deno/linux-${architecture}-glibc/deno`
const bun = `${npm}/@oven/bun-linux-${bunArchitecture}/bin/bun`

export const RUNTIMES: readonly Runtime[] = [
  runtime(
    'curl',
    'curl',
    firstNumber('curl --version'),
    `curl --silent --show-error --header ${AUTHORIZATION} "$1"`,
  ),
  runtime(
    'wget',
    'wget',
    firstNumber('wget --version'),
    `wget --no-verbose --tries=1 --output-document=- --header=${AUTHORIZATION} "$1"`,
  ),
  // It wants a repository, gets a model's description and finds no branches in it.
  runtime(
    'git',
    'git',
    firstNumber('git --version'),
    `git -c http.extraHeader=${AUTHORIZATION} ls-remote "$1" && echo "${NO_BRANCHES}"`,
    { answer: NO_BRANCHES },
  ),
  python('urllib', 'urllib', 'import platform; print(platform.python_version())'),
  python('requests'),
  certifi('requests', 'REQUESTS_CA_BUNDLE'),
  python('httpx'),
  certifi('httpx', 'SSL_CERT_FILE'),
  python('aiohttp'),
  node("Node, Debian's", 'node', '/usr/bin/node', 'system store'),
  ...[20, 22, 24, 26].map(upstreamNode),
  runtime(
    'Deno',
    'deno',
    firstNumber(`${deno} --version`),
    `${deno} run --quiet --allow-net /opt/programs/call.mjs "$1"`,
    {
      trusts: { variable: 'DENO_TLS_CA_STORE' },
    },
  ),
  runtime('Bun', 'bun', `${bun} --version`, `${bun} /opt/programs/call.mjs "$1"`),
  runtime('Go', 'go', firstNumber('go version'), '/opt/compiled/call-go "$1"'),
  runtime('Java', 'java', firstNumber('java -version 2>&1'), 'java -cp /opt/compiled Call "$1"'),
  runtime('Ruby', 'ruby', firstNumber('ruby --version'), 'ruby /opt/programs/call.rb "$1"'),
  runtime('PHP', 'php', firstNumber('php --version'), 'php /opt/programs/call.php "$1"'),
  runtime(
    'Perl LWP',
    'perl-lwp',
    "perl -MLWP -e 'print LWP->VERSION'",
    'perl /opt/programs/call-lwp.pl "$1"',
  ),
  runtime(
    'Perl HTTP::Tiny',
    'perl-tiny',
    "perl -MHTTP::Tiny -e 'print HTTP::Tiny->VERSION'",
    'perl /opt/programs/call-tiny.pl "$1"',
  ),
  runtime(
    'Chromium',
    'chromium',
    firstNumber('chromium --version'),
    // A machine in namespaces can't make those of Chromium's sandbox.
    'chromium --headless --no-sandbox --disable-gpu --user-data-dir="$(mktemp -d)" --virtual-time-budget=3000 --dump-dom "$1"',
    // It sends no key.
    { answer: 'API key', trusts: { policy: '/etc/chromium/policies/managed/agent-anchor-gateway.json' } },
  ),
]
