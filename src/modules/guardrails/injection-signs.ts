/**
 * The signs of an injection, what each is worth, and how they are said. Patterns are linear: gaps are bounded, and none can
 * be read in two ways. A new sign needs sentences in eval/guardrails that show it and others that only look like it.
 */
export interface Sign {
  readonly name: string
  readonly points: number
  readonly patterns: readonly RegExp[]
}

const IGNORE =
  "(?:ignor(?:e|ing)|disregard(?:ing)?|(?<!(?:don'?t|do not|never) )forget|overrid(?:e|ing)|bypass|discard|set aside|throw out|drop|cancel|neglect|never mind|(?:do not|don'?t|stop|no longer|never) (?:follow|obey|listen to|adhere to|comply with)(?:ing)?)"
const EARLIER =
  '(?:all|any|every|each|your|the|these|those|previous(?:ly)?|prior|above|earlier|preceding|foregoing|initial|original|existing|current|system|developer|given|given to you|of|former|old|past|safety|content|hidden|built-in|openai|anthropic|my|you were given|whatever)'
const ORDERS =
  '(?:instructions?|prompts?|directions?|guidelines?|guidance|commands?|directives?|programming|constraints?|system message|system prompt|rules|orders|restrictions|safeguards|context above|training)'
const i = (source: string): RegExp => new RegExp(source, 'iu')

export const SIGNS: readonly Sign[] = [
  {
    name: 'override',
    points: 1,
    patterns: [
      i(
        `\\b${IGNORE} (?:what(?:ever)? )?the (?:user|developer|system|operator|company|creators?)(?:'s)? (?:questions?|requests?|instructions?|input|message|orders?|said|says|told|wrote|wants)\\b`,
      ),
      i(
        `\\b${IGNORE}[ ,]+(?:(?:and|completely|absolutely|entirely|just|please|now|about) ){0,2}(?:${EARLIER} ){1,5}(?:\\w+ ){0,2}${ORDERS}\\b`,
      ),
      i(
        `\\b${IGNORE} (?:everything|anything|all(?: of (?:it|this|that))?)[, ](?:you(?:'ve| have| were| are)?|that|which|i(?:'ve| have)?|(?:said |written )?(?:above|before|previously)|up to (?:now|here|this point))`,
      ),
      i(
        `\\b${ORDERS} (?:above|before this|so far|up to here|you (?:were|have been|got) (?:given|told)) (?:are|is|were|was|no longer) (?:\\w+ )?(?:void|obsolete|outdated|cancell?ed|null|superseded|revoked|a test|fake|wrong|appl(?:y|ies))`,
      ),
      i(
        `(?<!\\p{L})(?:ignorier(?:e|en|t)?|vergiss(?! nicht)|vergesst(?! nicht)|vergessen sie(?! nicht)|missachte|missachten sie|übergeh(?:e|en)?|verwirf|befolge nicht)\\b.{0,40}\\b(?:anweisung(?:en)?|instruktion(?:en)?|vorgaben?|regeln|befehle?|system-?prompts?|prompts?|richtlinien)\\b`,
      ),
      i(
        `(?<!\\p{L})(?:ignore[rzs]?|(?<!n')oublie[rzs]?|néglige[rz]?|ne (?:suis|suivez|respecte) plus|fais abstraction|passe outre)\\b.{0,40}\\b(?:instructions?|consignes?|directives?|règles|ordres|prompts?|invites?)\\b`,
      ),
      i(
        `\\b(?:ignor[aeáé]\\w{0,3}|(?<!no (?:te |se )?)olvid[aeáé]\\w{0,3}|descart[aeá]\\w{0,3}|haz caso omiso|no sigas)\\b.{0,40}\\b(?:instrucciones|indicaciones|órdenes|directrices|reglas|normas|prompts?)\\b`,
      ),
      i(
        `\\b(?:ignor[ae]\\w{0,2}|(?<!não (?:se )?)esque[çc]\\w{1,3}|desconsider[ae]\\w{0,2}|descart[ae]\\w{0,2}|não sigas?)\\b.{0,40}\\b(?:instruç(?:ões|ão)|orientações|ordens|diretrizes|regras|comandos|prompts?)\\b`,
      ),
      i(
        `\\b(?:ignora\\w{0,2}|(?<!non )dimentica\\w{0,2}|trascura|tralascia|non seguire)\\b.{0,40}\\b(?:istruzion[ie]|direttive|regole|ordini|comandi|indicazioni|prompts?)\\b`,
      ),
      i(
        `(?:игнорируй(?:те)?|проигнорируй(?:те)?|(?<!не )забудь(?:те)?|не следуй(?:те)?|отбрось(?:те)?).{0,40}(?:инструкц|указани|правил|команд|предписани|промпт|директив)`,
      ),
      /(?:忽略|无视|忘记|忘掉|不要理会|不再遵守|不要遵守|无需遵守|忽視|無視).{0,16}(?:指令|指示|提示词|提示|规则|规定|命令|設定|设定|要求)/u,
      /(?:指示|命令|プロンプト|ルール|規則|指令|制約|設定).{0,12}(?:無視し|忘れ(?:て|ろ|なさい)|従わない|従うな|破棄し)/u,
    ],
  },
  {
    name: 'reveal',
    points: 1,
    patterns: [
      i(
        `\\b(?:reveal|show|print|output|repeat|display|tell|leak|dump|disclose|give|recite|expose|share|write(?: out| down)?|copy|paste|echo|return|summari[sz]e|translate|encode|spell out|state|quote)\\b (?:(?:me|us|out|back|verbatim|exactly|word for word|all of|all|here|now|the full|the complete|the exact|full|complete|exact|entire|of|the|text) ){0,5}(?:(?:your|these|those) (?:\\w+ ){0,3}(?:instructions|system prompt|prompt|guidelines|rules|system message|configuration|directives|developer message)|(?:the|this) (?:\\w+ ){0,2}(?:system prompt|system message|developer message|hidden (?:prompt|instructions)|initial (?:prompt|instructions)|original (?:prompt|instructions)|(?:prompt|instructions|text|words|message|everything) above))\\b`,
      ),
      i(
        `\\bwhat (?:is|are|was|were|does|do) (?:your|the) (?:(?:exact|full|complete|actual|real|hidden|secret|initial|original|system|first|internal|confidential) ){1,3}(?:prompt|instructions?|message|rules|guidelines|directives?)\\b(?! (?:of|for) )`,
      ),
      i(
        `\\b(?:rules|guidelines|instructions|prompt|policies) (?:that )?you (?:were|have been|are) (?:given|told|following|operating under)\\b.{0,40}\\b(?:start|beginning|full|verbatim|exact|see|show)|\\b(?:my|your) (?:system )?(?:prompt|instructions) (?:begins?|starts?|reads?|opens?)\\b`,
      ),
      i(
        `\\b(?:repeat|print|output|copy|echo|translate) (?:everything|all(?: of)? (?:the )?(?:text|words)|(?:the )?(?:words|text|lines|content))(?: that is| written| you see| found)? (?:above|before this)`,
      ),
      i(
        `\\b(?:zeige?n?(?: sie)?|nenne?n?(?: sie)?|verrate?n?(?: sie)?|gib|wiederhole?n?(?: sie)?|drucke)\\b.{0,30}\\b(?:system-?prompt|systemanweisung(?:en)?|(?:deine|ihre)n? (?:\\w+ ){0,2}(?:anweisungen|instruktionen|vorgaben)|geheime[nr]? (?:anweisungen|prompt))`,
      ),
      i(
        `(?<!\\p{L})(?:montre|affiche|révèle|répète|donne|dévoile|écris)\\w{0,4}\\b.{0,30}\\b(?:prompt système|invite système|(?:les )?consignes (?:initiales|cachées|système)|tes (?:\\w+ ){0,2}(?:instructions|consignes)|vos (?:\\w+ ){0,2}(?:instructions|consignes)|instructions (?:cachées|initiales|secrètes|système))`,
      ),
      i(
        `\\b(?:muestra|muéstrame|revela|repite|imprime|dime|enséñame|escribe)\\w{0,3}\\b.{0,30}\\b(?:prompt del? sistema|mensaje del? sistema|tus (?:\\w+ ){0,2}instrucciones|instrucciones (?:ocultas|iniciales|originales|secretas|del sistema))`,
      ),
      i(
        `\\b(?:mostr[ae]|revel[ae]|repit[ae]|imprim[ae]|diga|escreva)\\w{0,3}\\b.{0,30}\\b(?:prompt d[oe] sistema|su?as (?:\\w+ ){0,2}instruções|instruções (?:ocultas|iniciais|originais|secretas|do sistema))`,
      ),
      i(
        `\\b(?:mostra|rivela|ripeti|stampa|dimmi|scrivi)\\w{0,3}\\b.{0,30}\\b(?:prompt di sistema|le tue (?:\\w+ ){0,2}istruzioni|istruzioni (?:nascoste|iniziali|originali|segrete|di sistema))`,
      ),
      i(
        `(?:покажи|выведи|раскрой|повтори|напиши|напечатай).{0,30}(?:системн\\p{L}+ (?:промпт|инструкц|сообщени|подсказк)|сво[ийюё]\\p{L}* (?:\\p{L}+ ){0,2}(?:инструкц|промпт)|скрыт\\p{L}+ инструкц)`,
      ),
      /(?:显示|告诉我|输出|重复|打印|透露|泄露|说出|列出).{0,12}(?:系统提示|系统指令|隐藏的?指令|初始指令|你的(?:指令|提示词|规则)|上面的(?:全部)?内容)/u,
      /(?:システムプロンプト|初期(?:指示|プロンプト)|隠された指示|内部の?指示|あなたへの指示).{0,14}(?:表示|教え|出力|見せ|開示|公開|繰り返)/u,
    ],
  },
  {
    name: 'unbound persona',
    points: 1,
    patterns: [
      i(
        `\\b(?:you are|you're|act as|acting as|become|pretend (?:to be|you are|you're)|imagine (?:you are|you're)|simulate|role-?play as|behave (?:as|like)|respond as|answer as|play(?:ing)? the (?:role|part) of|take on the persona of|be)\\b.{0,80}\\b(?:(?:with(?:out)?|has|have|having) (?:no|any|all|zero)? ?(?:\\w+ ){0,2}(?:restrictions?|limitations?|filters?|censorship|guardrails|safety (?:rules|guidelines|measures)|ethic(?:s|al \\w+)|moral(?:s|ity| \\w+)|content polic(?:y|ies)|boundaries|constraints|rules)|unrestricted|unfiltered|uncensored|jailbroken|unaligned|amoral|not bound by|free (?:of|from) (?:all |any )?(?:\\w+ )?(?:restrictions|limitations|rules|filters|guidelines|censorship)|ignores? (?:all |any )?(?:rules|ethics|laws|guidelines))`,
      ),
      i(
        `\\bdo anything now\\b|\\byou are (?:now )?(?:going to (?:be|act as) )?dan\\b|\\bdan mode\\b|(?<!how (?:do|can|to|would) (?:i |we |you )?)\\b(?:enable|enter|activate|switch to|turn on|you are (?:now )?in|simulate)\\b.{0,20}\\b(?:developer|debug|god|admin|jailbreak|unrestricted|sudo|root|maintenance|evil|chaos|unsafe|dan) mode\\b(?! on (?:my|the|a|an) )`,
      ),
      i(
        `\\bjailbreak(?:en)? (?:mode|yourself)|\\bstan (?:which|\\()|\\bstrive to avoid norms\\b|\\bevil(?:bot|gpt)\\b|\\b(?:freed|liberated|broken free) (?:of|from) (?:the )?(?:typical |usual |normal )?(?:confines|shackles|chains|restrictions|limits)`,
      ),
      i(
        `\\b(?:du bist|sei|spiele?|tu so|verhalte dich)\\b.{0,60}\\b(?:ohne (?:jegliche |irgendwelche |alle )?(?:\\w+e?n? )?(?:einschränkungen|beschränkungen|regeln|filter|zensur|grenzen)|uneingeschränkte[rs]?|unzensierte[rs]?)`,
      ),
      i(
        `\\b(?:tu es|vous êtes|agis|fais comme si|joue|imagine)\\b.{0,60}\\b(?:sans (?:aucune? |la moindre |toutes? )?(?:restriction|limite|règle|filtre|censure)s?|non censurée?)`,
      ),
      i(
        `\\b(?:eres|actúa|finge|simula|imagina que eres|compórtate)\\b.{0,60}\\b(?:sin (?:ninguna? |ningún tipo de |restricciones ni )?(?:restricci(?:ón|ones)|límites?|filtros?|censura|reglas)|sin censura)`,
      ),
      i(
        `\\b(?:você é|aja|finja|simule|comporte-se)\\b.{0,60}\\bsem (?:nenhuma? |qualquer )?(?:restriç(?:ão|ões)|limites?|filtros?|censura|regras)`,
      ),
      i(
        `\\b(?:sei|agisci|comportati|fingi)\\b.{0,60}\\bsenza (?:alcuna? |nessuna? |alcun )?(?:restrizion[ie]|limit[ei]|filtr[oi]|censura|regole)`,
      ),
      i(
        `(?:ты(?: теперь)?|представь|притворись|веди себя|действуй).{0,60}(?:без (?:каких-либо |всяких |любых )?(?:ограничени|правил|фильтр|цензур)|не связан\\p{L}* (?:никакими )?правил)`,
      ),
      /(?:你现在是|你是一个|扮演|假装|假设你是|充当).{0,30}(?:没有(?:任何)?(?:限制|约束|规则|审查|道德)|不受(?:任何)?(?:限制|约束)|无限制)/u,
      /(?:制限|制約|検閲|ルール|フィルター)(?:の(?:ない|無い)|なし(?:の|で)|を受けない).{0,20}(?:AI|アシスタント|モデル|として|になって)/u,
    ],
  },
  {
    name: 'role marker',
    points: 0.7,
    patterns: [
      /<\|(?:im_start|im_end|system|start_header_id|eot_id|endoftext|begin_of_text)\|>/i,
      /\[\/?INST\]|<<\/?SYS>>|<\/?(?:system|system_prompt|instructions?|admin|developer)>/i,
      /^\s{0,4}(?:#{2,4} ?|\[|-{3,} ?|={3,} ?)(?:end of (?:user )?(?:input|message|prompt|document|text|data)|(?:new |begin |start )?(?:system|developer|admin)(?: prompt| message| instructions?| override| note)?)\]?\s{0,4}(?:[:\]#=-]|$)/im,
      /^\s{0,4}(?:system|developer|admin(?:istrator)?|root)(?: (?:prompt|message|override|note|update))?\s?: ?\S/im,
    ],
  },
  {
    name: 'new orders',
    points: 0.5,
    patterns: [
      i(
        `\\b(?:your )?(?:new|updated|real|actual|true|revised) (?:(?:system|primary|main|only|core) )?(?:instructions?|task|orders?|objective|goal|directive|prompt|rules?)(?: (?:is|are|follow|begin)|:)`,
      ),
      i(
        `\\bfrom (?:now|this point) on,? (?:you|your|every|all|only)\\b|\\bthis (?:message |instruction |prompt )?(?:overrides|supersedes|replaces|takes precedence over)\\b`,
      ),
      i(
        `\\bi(?:'m| am) (?:(?:your|the|an?|one of your) )(?:\\w+ )?(?:developer|creator|administrator|admin|programmer|engineer at|system administrator|owner)s?\\b`,
      ),
      i(
        `\\b(?:ab (?:jetzt|sofort)|von nun an) (?:bist|wirst|antwortest|folgst|sind|antworten)|\\bneue (?:anweisung(?:en)?|aufgabe):|\\bdorénavant,? (?:tu|vous)|\\bà partir de maintenant,? (?:tu|vous)|\\ba partir de ahora,? (?:eres|debes|vas|respond|actúa)|\\bnuev[ao]s? instrucci(?:ón|ones):|\\ba partir de agora,? (?:você|responda|aja)|\\bd'ora in poi,? (?:sei|devi|rispond)|\\bс этого момента (?:ты|вы)`,
      ),
      /从现在(?:开始|起)[，,]?\s?(?:你|请)|新的?指令[：:]|これから(?:は)?あなたは|新しい指示[：:]/u,
    ],
  },
  {
    name: 'no refusing',
    points: 0.6,
    patterns: [
      i(
        `\\b(?:never|do not|don't|must not|cannot|can't|may not|are not allowed to|without) (?:ever )?(?:refus(?:e|ing)|say(?:ing)? no|declin(?:e|ing)|reject(?:ing)? (?:any|my|a)|break(?:ing)? character|apologi[sz](?:e|ing)|warn(?:ing)? me|add(?:ing)? (?:any )?(?:warnings?|disclaimers?)|moraliz(?:e|ing)|lectur(?:e|ing))\\b`,
      ),
      i(
        `\\b(?:no|without(?: any)?|skip (?:the|any|all)|omit (?:the|any|all)) (?:disclaimers?|warnings?|ethical (?:concerns|considerations)|moral(?:izing| lectures?)|safety (?:warnings?|notes?)|censorship)\\b|\\bstay in character\\b|\\beven if (?:it is|it's|they are|that is) (?:\\w+ ){0,2}(?:illegal|harmful|unethical|dangerous|against)\\b`,
      ),
      i(
        `\\b(?:bypass|circumvent|evade|get around|turn off|disable|deactivate|switch off|lift|remove) (?:(?:all|any|your|the|every|its) ){0,2}(?:\\w+ )?(?:safety|content|ethical|moral|security)? ?(?:filters?|guardrails|safeguards|restrictions|safety (?:measures|protocols|features|settings)|moderation|censorship|limitations|content polic(?:y|ies))\\b`,
      ),
      i(
        `\\bverweigere (?:nie|niemals)|\\bohne (?:warnungen|warnhinweise)|\\bne refuse jamais|\\bsans (?:avertissements?|mise en garde)|\\bnunca te niegues|\\bsin advertencias|\\bnunca recuse|\\bsem avisos|\\bnon rifiutare mai|\\bsenza avvertenze|никогда не отказывай|без предупреждений`,
      ),
      /不要拒绝|不得拒绝|不能拒绝|拒否しない(?:で|こと)|断らない(?:で|こと)/u,
    ],
  },
  {
    name: 'to the machine',
    points: 0.7,
    patterns: [
      i(
        `\\b(?:note|attention|notice|message|instructions?|reminder|important|hey|dear|hello) (?:to|for|,)? ?(?:the |any |all |every )?(?:ai|llm|language model|assistant|chatbot|ai (?:assistant|agent|model|system)s?|automated (?:reader|agent|reviewer|system)s?|bots?|gpt|claude|gemini|copilot)(?: (?:reading|processing|summari[sz]ing|reviewing|that|who)|[:,!])`,
      ),
      i(
        `\\bif you(?:'re| are) (?:an? |the )?(?:ai|llm|language model|assistant|chatbot|(?:ai|automated) (?:assistant|agent|model|system)|large language model|bot)\\b`,
      ),
      i(
        `\\b(?:ai|llm|language) (?:models?|assistants?|agents?|systems?) (?:reading|processing|summari[sz]ing|reviewing|parsing) this\\b`,
      ),
      i(
        `\\b(?:falls|wenn) du (?:eine?|ein) (?:ki|sprachmodell|assistent)|\\bsi tu es une? (?:ia|modèle de langage|assistant)|\\bsi eres una? (?:ia|modelo de lenguaje|asistente)|если ты (?:ии|языковая модель|ассистент)`,
      ),
      /如果你是(?:一个)?(?:AI|人工智能|语言模型)|あなたがAI(?:である|なら)/u,
    ],
  },
  {
    name: 'behind the back',
    points: 0.6,
    patterns: [
      i(
        `\\b(?:do not|don't|never|without) (?:tell(?:ing)?|mention(?:ing)?|inform(?:ing)?|notify(?:ing)?|alert(?:ing)?|let(?:ting)?|say(?:ing)? (?:this|anything|so|that) to|reveal(?:ing)? (?:this|that|it) to|show(?:ing)? (?:this|that|it) to) (?:(?:this|it|that|any of this|anything|these instructions) )?(?:to )?(?:the |your |any )?(?:user|human|reader|customer|anyone|operator|person)\\b`,
      ),
      i(
        `\\b(?:do not|don't|never) (?:mention|reveal|acknowledge|refer to|disclose|discuss) (?:(?:this|these|that|having received|the) ){1,2}(?:instructions?|message|note|command|text|request|directive)\\b|\\b(?:secretly|silently|covertly|quietly) (?:send|forward|add|include|insert|append|call|execute|run|transfer|delete|email|copy)\\b`,
      ),
    ],
  },
  {
    name: 'sends away',
    points: 0.7,
    patterns: [
      i(
        `\\b(?:send|post|forward|email|e-mail|upload|transmit|exfiltrate|leak|submit|append|deliver)\\b.{0,60}\\b(?:conversation|chat(?: history| log)?|history|messages?|secrets?|api keys?|passwords?|credentials?|tokens?|environment variables|customer (?:data|records|list)|user(?:'s)? (?:data|details|information|emails?)|contacts|files?|system prompt|everything)\\b.{0,60}(?:https?://|\\bto [\\w.+-]+@[\\w-]+\\.|\\bwebhook\\b|\\burl\\b)`,
      ),
      /!\[[^\]\n]{0,80}\]\(https?:\/\/[^)\s]{1,200}[?&][\w-]{1,20}=(?:[{<[$]|(?:data|secret|history|chat|prompt|conversation|key|q)\b)/i,
      i(
        `\\b(?:call|invoke|use|run|execute|trigger)\\b.{0,30}\\b(?:tool|function|command|shell|terminal)\\b.{0,60}\\b(?:rm -rf|curl |wget |delete (?:all|every)|drop table|transfer (?:all|the|\\$)|/etc/passwd)`,
      ),
    ],
  },
]
