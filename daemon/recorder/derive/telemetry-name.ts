/**
 * `gen_ai.provider.name` of catalogue ids whose OpenTelemetry name differs (semantic conventions for
 * generative AI, registry), for exchanges whose Open frame doesn't say it.
 */
const NAMES: Readonly<Record<string, string>> = {
  chatgpt: 'openai',
  azure: 'azure.ai.openai',
  github_models: 'azure.ai.inference',
  anthropic_apps: 'anthropic',
  claude_on_aws: 'anthropic',
  gemini: 'gcp.gemini',
  gemini_cli: 'gcp.gemini',
  vertex: 'gcp.vertex_ai',
  bedrock: 'aws.bedrock',
  bedrock_mantle: 'aws.bedrock',
  bedrock_other: 'aws.bedrock',
  mistral: 'mistral_ai',
  xai: 'x_ai',
  moonshot: 'moonshot_ai',
}

export function telemetryNameOf(provider: string): string {
  return Object.hasOwn(NAMES, provider) ? NAMES[provider]! : provider
}

/** Azure AI inference and other makers' own interfaces, on the hosts that serve OpenAI's below `/openai`. */
const INFERENCE = /^\/(?:models|anthropic|providers|v1|chat|embeddings)(?:\/|$)/

/** The name of a provider at that path: on Azure's hosts the path tells which one it is. */
export function telemetryNameAt(
  { provider, telemetryName }: { readonly provider: string; readonly telemetryName?: string | undefined },
  target = '',
): string {
  const name = telemetryName ?? telemetryNameOf(provider)
  return name === 'azure.ai.openai' && INFERENCE.test(target) ? 'azure.ai.inference' : name
}
