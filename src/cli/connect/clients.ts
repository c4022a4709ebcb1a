/**
 * What each client needs to talk through the gateway: the file that holds it, or the steps where there is none, and what
 * does not work. docs/clients.md says the same in words.
 */
import { join } from 'node:path'

/** What the command knows. */
export interface Gateway {
  /** Without a trailing slash. */
  readonly url: string
  readonly key: string
  /** The key was given, and is not a stand-in for clients that insist on one. */
  readonly hasKey: boolean
  readonly model: string
}

export type Value = string | boolean | number | readonly Value[] | { readonly [name: string]: Value }

/** A file of settings: which of them are set, by their place; all others stay. */
export interface Settings {
  readonly path: string
  readonly format: 'json' | 'yaml' | 'toml' | 'env'
  readonly set: readonly (readonly [place: readonly string[], value: Value])[]
  /** Of a list of named things in YAML: the one that is set or added, as text. */
  readonly item?: { readonly list: string; readonly name: string; readonly text: string }
}

export interface Client {
  readonly id: string
  readonly title: string
  /** A model has to be named in its settings. */
  readonly needsModel?: true
  settings?(gateway: Gateway, home: string, environment: Environment): Settings
  /** What is left for a person to do. */
  steps(gateway: Gateway): readonly string[]
  readonly limits: readonly string[]
}
type Environment = Readonly<Record<string, string | undefined>>

const DOCKER = (url: string) =>
  url.replace(/\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/, '//host.docker.internal')

export const CLIENTS: readonly Client[] = [
  {
    id: 'claude-code',
    title: 'Claude Code',
    settings: ({ url, key }, home, { CLAUDE_CONFIG_DIR }) => ({
      path: join(CLAUDE_CONFIG_DIR ?? join(home, '.claude'), 'settings.json'),
      format: 'json',
      set: [
        [['env', 'ANTHROPIC_BASE_URL'], url],
        [['env', 'ANTHROPIC_AUTH_TOKEN'], key],
      ],
    }),
    steps: () => ['Start "claude" anew. Its model names reach your Anthropic upstream, or whatever an alias says.'],
    limits: [
      'With models of other makers set CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1: their upstreams do not know its betas.',
      'A login with a subscription is not used while ANTHROPIC_AUTH_TOKEN is set.',
    ],
  },
  {
    id: 'codex',
    title: 'Codex CLI',
    needsModel: true,
    settings: ({ url, hasKey, model }, home, { CODEX_HOME }) => ({
      path: join(CODEX_HOME ?? join(home, '.codex'), 'config.toml'),
      format: 'toml',
      set: [
        [['model'], model],
        [['model_provider'], 'stockyard'],
        [['model_providers.stockyard', 'name'], 'Stockyard'],
        [['model_providers.stockyard', 'base_url'], `${url}/v1`],
        [['model_providers.stockyard', 'wire_api'], 'responses'],
        ...(hasKey ? ([[['model_providers.stockyard', 'env_key'], 'STOCKYARD_API_KEY']] as const) : []),
      ],
    }),
    steps: ({ hasKey }) => [
      ...(hasKey ? ['Set STOCKYARD_API_KEY to the key where "codex" starts: the file only names the variable.'] : []),
      'Start "codex" anew.',
    ],
    limits: [
      'It speaks the Responses API only, and falls back from WebSockets to HTTP by itself.',
      'A profile or a --model given on the command line goes before this file.',
    ],
  },
  {
    id: 'gemini-cli',
    title: 'Gemini CLI',
    settings: ({ url, key }, home) => ({
      path: join(home, '.gemini', '.env'),
      format: 'env',
      set: [
        [['GOOGLE_GEMINI_BASE_URL'], url],
        [['GEMINI_API_KEY'], key],
      ],
    }),
    steps: () => ['Start "gemini" and choose "Use Gemini API Key" if it asks how to sign in.'],
    limits: [
      'Signed in with a Google account it does not look at the base URL.',
      'A .env file in the project, or a variable of the shell, goes before this file.',
      'Over plain http it only takes a gateway on this machine.',
      'For "gemini -p", "security.auth.selectedType" in ~/.gemini/settings.json must be "gemini-api-key"; choosing "Use Gemini API Key" once sets it.',
    ],
  },
  {
    id: 'opencode',
    title: 'opencode',
    needsModel: true,
    settings: ({ url, key, model }, home, { XDG_CONFIG_HOME }) => ({
      path: join(XDG_CONFIG_HOME ?? join(home, '.config'), 'opencode', 'opencode.json'),
      format: 'json',
      set: [
        [['$schema'], 'https://opencode.ai/config.json'],
        [['provider', 'stockyard', 'npm'], '@ai-sdk/openai-compatible'],
        [['provider', 'stockyard', 'name'], 'Stockyard'],
        [['provider', 'stockyard', 'options', 'baseURL'], `${url}/v1`],
        [['provider', 'stockyard', 'options', 'apiKey'], key],
        [['provider', 'stockyard', 'models', model, 'name'], model],
        [['model'], `stockyard/${model}`],
      ],
    }),
    steps: () => ['Start "opencode" anew; more models are more entries under "models".'],
    limits: ['An opencode.json in the project goes before this file.'],
  },
  {
    id: 'cline',
    title: 'Cline',
    needsModel: true,
    steps: ({ url, key, model }) => [
      'In the settings of the extension choose the API provider "OpenAI Compatible".',
      `Base URL: ${url}/v1`,
      `API key: ${key}`,
      `Model ID: ${model}`,
    ],
    limits: [
      'It keeps its settings inside the editor, so they cannot be written from here.',
      'It counts the context window of a model it does not know as 128,000 tokens unless told.',
    ],
  },
  {
    id: 'cursor',
    title: 'Cursor',
    needsModel: true,
    steps: ({ url, key, model }) => [
      'In Settings → Models → API Keys switch on "Override OpenAI Base URL".',
      `Base URL: ${url}/v1`,
      `OpenAI API key: ${key}`,
      `Add the custom model "${model}" and choose it.`,
    ],
    limits: [
      'Its servers make the calls, not your machine: the gateway must be reachable from the internet by https, with keys.',
      'A model whose name contains "claude" goes past the override: give it an alias without that word.',
      'Cursor CLI, Tab and the background agents take no base URL of their own.',
      'It keeps its settings inside the editor, so they cannot be written from here.',
    ],
  },
  {
    id: 'continue',
    title: 'Continue',
    needsModel: true,
    settings: ({ url, key, model }, home, { CONTINUE_GLOBAL_DIR }) => ({
      path: join(CONTINUE_GLOBAL_DIR ?? join(home, '.continue'), 'config.yaml'),
      format: 'yaml',
      set: [],
      item: {
        list: 'models',
        name: `Stockyard ${model}`,
        text: [
          `name: ${JSON.stringify(`Stockyard ${model}`)}`,
          'provider: openai',
          `model: ${JSON.stringify(model)}`,
          `apiBase: ${JSON.stringify(`${url}/v1`)}`,
          `apiKey: ${JSON.stringify(key)}`,
          'roles: [chat, edit, apply]',
        ].join('\n'),
      },
    }),
    steps: () => ['Reload the editor and choose the model in the panel.'],
    limits: ['A new file needs "name", "version" and "schema" at its top; they are added if they are missing.'],
  },
  {
    id: 'aider',
    title: 'aider',
    needsModel: true,
    settings: ({ url, key, model }, home) => ({
      path: join(home, '.aider.conf.yml'),
      format: 'yaml',
      set: [
        [['openai-api-base'], `${url}/v1`],
        [['openai-api-key'], key],
        [['model'], `openai/${model}`],
      ],
    }),
    steps: () => [
      'Start "aider". It may say that it does not know the model: costs and limits are then unknown to it.',
    ],
    limits: ['A .aider.conf.yml in the project goes before this file.'],
  },
  {
    id: 'open-webui',
    title: 'Open WebUI',
    steps: ({ url, key }) => [
      'In Admin Settings → Connections add an OpenAI API connection, or start the container with:',
      `  -e OPENAI_API_BASE_URL=${DOCKER(url)}/v1 -e OPENAI_API_KEY=${key}`,
    ],
    limits: [
      'The variables count on its first start only; afterwards its own database does.',
      'A container is not this machine: start the gateway with --host 0.0.0.0 and give it a key.',
      'Set ENABLE_FORWARD_USER_INFO_HEADERS=true and its users can be told apart.',
    ],
  },
]
