import { domainToASCII } from 'node:url'
import t from 'tap'
import { literalNames, loadCatalogue, matchHost, permittedDomains } from '../../policies/catalogue.ts'
import { parseGlob } from '../../policies/host-glob.ts'
import { CATALOGUE_FILE, shippedDirectory } from '../../policies/shipped.ts'

const catalogue = loadCatalogue(`${shippedDirectory}/${CATALOGUE_FILE}`)

/** The hosts as they were gathered from the providers' documents, as anchored regular expressions. */
const GATHERED: Readonly<Record<string, readonly string[]>> = {
  canary: ['canary\\.agent-anchor\\.internal'],
  openai: ['api\\.openai\\.com', '(eu|us)\\.api\\.openai\\.com'],
  chatgpt: ['chatgpt\\.com', 'chat\\.openai\\.com'],
  openai_auth: ['auth\\.openai\\.com'],
  azure: [
    '[^.]+\\.openai\\.azure\\.com',
    '[^.]+\\.cognitiveservices\\.azure\\.com',
    '[^.]+\\.services\\.ai\\.azure\\.com',
    '[^.]+\\.azure-api\\.net',
    '[^.]+\\.inference\\.ai\\.azure\\.com',
  ],
  anthropic: ['api\\.anthropic\\.com'],
  anthropic_apps: ['claude\\.ai', 'claude\\.com'],
  anthropic_auth: ['console\\.anthropic\\.com', 'platform\\.claude\\.com'],
  gemini: ['generativelanguage\\.googleapis\\.com'],
  vertex: [
    'aiplatform\\.googleapis\\.com',
    '[a-z0-9-]+-aiplatform\\.googleapis\\.com',
    'aiplatform\\.(us|eu)\\.rep\\.googleapis\\.com',
  ],
  gemini_cli: ['(daily-)?cloudcode-pa(\\.sandbox)?\\.googleapis\\.com'],
  bedrock: ['bedrock-runtime(-fips)?\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?'],
  bedrock_mantle: ['bedrock-mantle\\.[a-z0-9-]+\\.api\\.aws'],
  bedrock_other: ['bedrock-agent-runtime\\.[a-z0-9-]+\\.amazonaws\\.com'],
  sagemaker: ['runtime\\.sagemaker\\.[a-z0-9-]+\\.amazonaws\\.com'],
  claude_on_aws: ['aws-external-anthropic\\.[a-z0-9-]+\\.api\\.aws'],
  amazon_q_kiro: ['(q|codewhisperer)\\.[a-z0-9-]+\\.amazonaws\\.com', 'runtime\\.[a-z0-9-]+\\.kiro\\.dev'],
  mistral: ['api\\.mistral\\.ai', 'codestral\\.mistral\\.ai'],
  cohere: ['api\\.cohere\\.(ai|com)'],
  groq: ['api\\.groq\\.com'],
  xai: ['api\\.x\\.ai', 'cli-chat-proxy\\.grok\\.com'],
  deepseek: ['api\\.deepseek\\.com'],
  together: ['api\\.together\\.(xyz|ai)'],
  fireworks: ['api\\.fireworks\\.ai'],
  perplexity: ['api\\.perplexity\\.ai'],
  openrouter: ['(api\\.)?openrouter\\.ai'],
  huggingface: [
    'router\\.huggingface\\.co',
    'api-inference\\.huggingface\\.co',
    '.*\\.endpoints\\.huggingface\\.cloud',
  ],
  replicate: ['api\\.replicate\\.com', 'stream\\.replicate\\.com'],
  ai21: ['api\\.ai21\\.com'],
  cerebras: ['api\\.cerebras\\.ai'],
  sambanova: ['api\\.sambanova\\.ai'],
  nvidia: ['integrate\\.api\\.nvidia\\.com', '(ai\\.api|.*\\.nvcf)\\.nvidia\\.com'],
  moonshot: ['api\\.moonshot\\.(ai|cn)', 'api\\.kimi\\.com'],
  zhipu: ['open\\.bigmodel\\.cn', 'api\\.z\\.ai'],
  qwen: ['dashscope(-intl|-us)?\\.aliyuncs\\.com'],
  minimax: ['api\\.minimax\\.io', 'api\\.minimaxi\\.com'],
  bytedance: ['ark\\.ap-southeast\\.bytepluses\\.com', 'ark\\.[a-z0-9-]+\\.volces\\.com'],
  copilot: ['(.*\\.)?githubcopilot\\.com', 'copilot-proxy\\.githubusercontent\\.com'],
  github_models: ['models\\.github\\.ai', 'models\\.inference\\.ai\\.azure\\.com'],
  cursor: [
    'api[0-9]*\\.cursor\\.sh',
    '(.+\\.)?api5\\.cursor\\.sh',
    'repo42\\.cursor\\.sh',
    'api\\.cursor\\.com',
  ],
  windsurf: [
    'server\\.codeium\\.com',
    'server\\.self-serve\\.windsurf\\.com',
    '(inference|api)\\.codeium\\.com',
  ],
  voyage: ['api\\.voyageai\\.com'],
  jina: ['api\\.jina\\.ai'],
  elevenlabs: ['api(\\.[a-z]+)*\\.elevenlabs\\.io'],
  deepgram: ['(api|agent)\\.deepgram\\.com'],
  assemblyai: ['(api|streaming)(\\.eu)?\\.assemblyai\\.com'],
  stability: ['api\\.stability\\.ai'],
  audio_media: [
    'api\\.(cartesia|hume|lmnt|gladia|rev|lumalabs|bfl)\\.(ai|com|io)',
    'fal\\.run',
    'queue\\.fal\\.run',
    'external\\.api\\.recraft\\.ai',
  ],
  cloudflare: ['api\\.cloudflare\\.com'],
  cloudflare_ai_gateway: ['gateway\\.ai\\.cloudflare\\.com'],
  gateways: [
    'ai-gateway\\.(vercel|helicone)\\.(sh|ai)',
    'api\\.portkey\\.ai',
    'api\\.poe\\.com',
    'nano-gpt\\.com',
  ],
  clouds: [
    'inference\\.generativeai\\.[a-z0-9-]+\\.oci\\.oraclecloud\\.com',
    '.*\\.snowflakecomputing\\.com',
    'us\\.inference\\.heroku\\.com',
  ],
  openai_compatible: [
    'api\\.deepinfra\\.com',
    'api\\.(novita|friendli|lambda|featherless|kluster|publicai|upstage)\\.(ai|co|tech)',
    'api\\.hyperbolic\\.xyz',
    'api\\.studio\\.nebius\\.(ai|com)',
    'llm\\.chutes\\.ai',
    'api\\.inference\\.wandb\\.ai',
    'api\\.clarifai\\.com',
    'inference\\.baseten\\.co',
    '[^.]+\\.api\\.baseten\\.co',
    'api\\.llama\\.com',
  ],
  ollama: ['ollama\\.com'],
}

/** Real-looking names, and one for each alternative that a generated sample might miss. */
const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  openai: ['api.openai.com', 'eu.api.openai.com', 'us.api.openai.com'],
  azure: ['foo.openai.azure.com', 'my-res.cognitiveservices.azure.com', 'hub1.services.ai.azure.com'],
  vertex: ['us-central1-aiplatform.googleapis.com', 'aiplatform.eu.rep.googleapis.com'],
  gemini_cli: ['daily-cloudcode-pa.sandbox.googleapis.com', 'cloudcode-pa.googleapis.com'],
  bedrock: [
    'bedrock-runtime.eu-west-1.amazonaws.com',
    'bedrock-runtime-fips.us-gov-west-1.amazonaws.com',
    'bedrock-runtime.cn-north-1.amazonaws.com.cn',
  ],
  bedrock_mantle: ['bedrock-mantle.us-east-1.api.aws'],
  sagemaker: ['runtime.sagemaker.us-east-1.amazonaws.com'],
  huggingface: ['abc123.us-east-1.aws.endpoints.huggingface.cloud'],
  nvidia: ['ai.api.nvidia.com', 'a1b2.invocation.api.nvcf.nvidia.com', 'api.nvcf.nvidia.com'],
  copilot: ['githubcopilot.com', 'api.githubcopilot.com', 'proxy.enterprise.githubcopilot.com'],
  cursor: ['api.cursor.sh', 'api2.cursor.sh', 'api17.cursor.sh', 'us-east.gcpp.api5.cursor.sh'],
  elevenlabs: ['api.elevenlabs.io', 'api.us.elevenlabs.io', 'api.eu.residency.elevenlabs.io'],
  assemblyai: ['streaming.eu.assemblyai.com', 'api.assemblyai.com'],
  clouds: ['org-account.snowflakecomputing.com', 'inference.generativeai.us-chicago-1.oci.oraclecloud.com'],
  openai_compatible: ['model-abc.api.baseten.co', 'api.upstage.tech'],
}

const FOREIGN = [
  'evil-api.openai.com.attacker.net',
  'xapi.openai.com',
  'api.openai.com.attacker.net',
  'openai.com',
  'www.openai.com',
  'api-openai.com',
  'api.openai.co',
  'openai.azure.com',
  'a.b.openai.azure.com',
  'portal.azure.com',
  'googleapis.com',
  'storage.googleapis.com',
  '-aiplatform.googleapis.com',
  'x.us-central1-aiplatform.googleapis.com',
  'bedrock-runtime.amazonaws.com',
  'bedrock-runtime.eu.west.amazonaws.com',
  's3.eu-west-1.amazonaws.com',
  'sq.eu-west-1.amazonaws.com',
  'amazonaws.com',
  'apix.cursor.sh',
  'api2x.cursor.sh',
  'xapi5.cursor.sh',
  'cursor.sh',
  'endpoints.huggingface.cloud',
  'snowflakecomputing.com',
  'notgithubcopilot.com',
  'github.com',
  'api.x.elevenlabs.io.attacker.net',
  'apielevenlabs.io',
  'example.com',
  'localhost',
  'com',
]

/** Names made from a pattern: its wildcards filled in, once as they match and once so that they just don't. */
function generated(pattern: string): string[] {
  const fill = (some: string, deep: string, digits: string) =>
    pattern.replace(/\*\*|\*|#/g, (mark) => (mark === '**' ? deep : mark === '*' ? some : digits))
  const name = fill('eu-west-1', 'a.b', '42')
  return [
    name,
    fill('x', 'y', '7'),
    fill('', '', ''),
    fill('a.b', 'c', '4x'),
    `x${name}`,
    `x.${name}`,
    `${name}x`,
    `${name}.attacker.net`,
    name.replace('.', '-'),
    name.replace(/^[^.]*\./, ''),
  ]
}

const expected = (name: string): string | undefined => {
  const owners = Object.keys(GATHERED).filter((id) =>
    GATHERED[id]!.some((source) => new RegExp(`^(?:${source})$`).test(name)),
  )
  // Two overlap: the narrower name owns it.
  return owners.includes('github_models') ? 'github_models' : owners[0]
}

t.test('the catalogue has the gathered providers and no others', async (t) => {
  t.strictSame(catalogue.providers.map(({ id }) => id).sort(), Object.keys(GATHERED).sort())
})

for (const provider of catalogue.providers) {
  t.test(`${provider.id} governs exactly the names gathered for it`, async (t) => {
    const samples = SAMPLES[provider.id] ?? []
    for (const name of samples) t.equal(matchHost(catalogue, name)?.id, provider.id, name)
    const covered = new Set<string>()
    for (const name of [...samples, ...provider.hosts.flatMap(generated)]) {
      if (domainToASCII(name) === '' || /(^|\.)(\.|$)/.test(name)) continue
      t.equal(matchHost(catalogue, name)?.id, expected(name), name)
      for (const source of GATHERED[provider.id]!) {
        if (new RegExp(`^(?:${source})$`).test(name)) covered.add(source)
      }
    }
    t.strictSame([...covered].sort(), [...GATHERED[provider.id]!].sort(), 'each gathered entry was tried')
  })
}

t.test('every alternative of the gathered groups is governed', async (t) => {
  for (const [id, sources] of Object.entries(GATHERED)) {
    for (const source of sources.filter((source) => !/\[|\.\*|\.\+/.test(source))) {
      for (const name of alternatives(source)) t.equal(matchHost(catalogue, name)?.id, id, name)
    }
  }
})

/** All the names of an expression that has only literals, `(a|b)` and `(a)?`. */
function alternatives(source: string): string[] {
  const group = /\(([^()]*)\)(\?)?/.exec(source)
  if (group === null) return [source.replaceAll('\\', '')]
  const choices = [...group[1]!.split('|'), ...(group[2] ? [''] : [])]
  return choices.flatMap((choice) => alternatives(source.replace(group[0], () => choice)))
}

t.test('no foreign or look-alike name is governed', async (t) => {
  for (const name of FOREIGN) t.equal(matchHost(catalogue, name), undefined, name)
})

t.test('hosts that no document confirmed are marked, and only hosts of the catalogue are', async (t) => {
  const unconfirmed = catalogue.providers.flatMap((provider) => provider.unconfirmed)
  for (const host of [
    'eu.api.openai.com',
    'us.api.openai.com',
    '*.inference.ai.azure.com',
    'platform.claude.com',
    '**.endpoints.huggingface.cloud',
    'stream.replicate.com',
    'ai.api.nvidia.com',
    '**.nvcf.nvidia.com',
    'ark.*.volces.com',
  ]) {
    t.ok(unconfirmed.includes(host), host)
  }
  t.notOk(unconfirmed.includes('api.openai.com'))
  for (const provider of catalogue.providers) {
    t.ok(provider.unconfirmed.every((host) => provider.hosts.includes(host)))
  }
})

t.test('bodies of sign-in hosts, and of no others, are never kept', async (t) => {
  const never = catalogue.providers.filter(({ keepBodies }) => !keepBodies).map(({ id }) => id)
  t.strictSame(never, ['openai_auth', 'anthropic_auth'])
})

t.test('only Workers AI is narrowed to paths', async (t) => {
  const narrowed = catalogue.providers.filter(({ paths }) => paths !== undefined)
  t.strictSame(
    narrowed.map(({ id, paths }) => [id, paths]),
    [['cloudflare', ['/client/v4/accounts/*/ai/*']]],
  )
})

t.test('telemetry names are those of OpenTelemetry where it has one', async (t) => {
  const named = Object.fromEntries(catalogue.providers.map(({ id, telemetryName }) => [id, telemetryName]))
  t.match(named, {
    openai: 'openai',
    azure: 'azure.ai.openai',
    anthropic: 'anthropic',
    bedrock: 'aws.bedrock',
    gemini: 'gcp.gemini',
    vertex: 'gcp.vertex_ai',
    mistral: 'mistral_ai',
    xai: 'x_ai',
    moonshot: 'moonshot_ai',
    together: 'together',
  })
})

t.test('the names to resolve are the literal ones, sorted and without repetition', async (t) => {
  const names = literalNames(catalogue)
  t.ok(names.includes('api.openai.com') && names.includes('api.anthropic.com'))
  t.ok(names.every((name) => !/[*#]/.test(name)))
  t.strictSame(names, [...new Set(names)].sort())
})

t.test(
  'the CA may sign for every governed name, by the fewest domains, none of them a public suffix',
  async (t) => {
    const domains = permittedDomains(catalogue)
    t.strictSame(domains, [...new Set(domains)].sort())
    for (const domain of domains) {
      t.ok(domain.split('.').length >= 2, domain)
      t.notOk(
        domains.some((other) => other !== domain && domain.endsWith(`.${other}`)),
        `${domain} isn't held by another`,
      )
    }
    for (const host of catalogue.providers.flatMap(({ hosts }) => hosts)) {
      const glob = parseGlob(host)
      if (typeof glob === 'string') throw new Error(glob)
      t.ok(
        domains.some((domain) => glob.suffix === domain || glob.suffix.endsWith(`.${domain}`)),
        host,
      )
    }
    t.notOk(domains.includes('api2.cursor.sh'), 'cursor.sh holds it')
    t.ok(domains.includes('cursor.sh'))
  },
)
