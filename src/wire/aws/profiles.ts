/**
 * AWS's shared files (`~/.aws/credentials`, `~/.aws/config`): sections of `name = value`, in which a profile may lead to
 * another one. Reading them runs nothing, so `credential_process` is refused.
 */

export type Profile = Readonly<Record<string, string>>

/** Section → settings. `config` spells its sections `[profile name]`; the credentials file wins where both say a thing. */
export function profilesOf(config: string, credentials: string): ReadonlyMap<string, Profile> {
  const profiles = new Map<string, Record<string, string>>()
  const add = (text: string, nameOf: (section: string) => string | undefined): void => {
    let current: Record<string, string> | undefined
    for (const line of text.split(/\r?\n/)) {
      if (/^\s*(?:[#;]|$)/.test(line)) continue
      const section = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line)?.[1]
      if (section !== undefined) {
        const name = nameOf(section)
        current = name === undefined ? undefined : (profiles.get(name) ?? {})
        if (name !== undefined && current) profiles.set(name, current)
        continue
      }
      // Indented lines are settings of the setting above (`s3 =`), which nothing here asks for.
      const setting = /^([A-Za-z0-9_.-]+)\s*=\s*(.*?)\s*(?:\s[#;].*)?$/.exec(line)
      if (current && setting) current[(setting[1] as string).toLowerCase()] = setting[2] as string
    }
  }
  add(config, (section) => (section === 'default' ? 'default' : /^profile\s+"?([^"]+?)"?$/.exec(section)?.[1]))
  add(credentials, (section) => section)
  return profiles
}
