"""What the crisis check looks for, as patterns over ``plain_words``. Written by hand for this project; English first.

``firm`` rules say by themselves that it is the writer who speaks of now, so no negation or other person in front of them
counts (``do not want to live`` has its own "not"). Patterns are squeezed like the text (``kill`` is compared as ``kil``).
"""

import re
from dataclasses import dataclass
from typing import Literal

from deployments.chat import crisis_signs as signs

Indicator = Literal["suicidal_ideation", "self_harm", "hopelessness", "severe_distress"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern."""

    indicator: Indicator
    pattern: re.Pattern[str]
    firm: bool = False


_LETTERS = re.compile(r"(?<!\\)([a-z])\1+")


def _rx(pattern: str) -> re.Pattern[str]:
    """A pattern over squeezed text."""
    return re.compile(_LETTERS.sub(r"\1", pattern))


_SELF = r"(?:myself|my self|himself|herself|themself|themselves|him self|her self)"
_WANT = (
    r"(?:want(?:s|ed|ing)? to|would like to|wish(?:es)? (?:i |he |she |they )?(?:could|can|would|to)|going to|plan(?:s|ning)? to|"
    r"have to|ned to|nedes to|decided to|ready to|trying to|tried to|about to|on the verge of|close to|might|may|could|should|will|let me|"
    r"thinking (?:of|about)|think(?:s)? (?:of|about)|thought(?:s)? (?:of|about)|fel(?:s|ing)? like|considering|"
    r"fantasi[sz]e about|dream(?:ing)? (?:of|about)|try to|tempted to|urge to|just)"
)
_SO = r"(?: (?:just|really|so|badly|only|also|kind of|sort of|kinda|honestly|actually|literally|to|be|much|even|go(?:ing)? to|fucking|sometimes|probably|maybe))*"
_DIE = r"(?:die|dying|be dead|not (?:exist|be alive|be here|live|wake up)|disappear forever|be gone forever|unalive)"

_WISH = (
    r"(?:want\w*|wish\w*|hop(?:e|es|ed|ing)|would rather|rather|would like|would love|ned\w*|crav\w*|long\w* for|pray\w*|plan\w*|"
    r"thought\w*|think\w*|ready|deserv\w*|should|going to|decid\w*|consider\w*|prefer\w*|dream\w*|imagin\w*|ideas?|urges?)"
)
_END = (
    r"(?:die|dying|dead(?! (?!right|now|already|to|and|than|or|by|so|anyway|instead|soon|tonight|inside)\w)|death|suicide|bled(?:ing)? (?:out|to death)|(?:stop|quit|cease) (?:existing|living(?! (?:in|with|at|here|there))|being(?= alive| here| around| me\b|$)|breathing|to exist)|disappear(?:ing)?\b.{0,20}\b(?:forever|never|for good)|"
    r"(?<!did )(?<!does )not (?:exist|be alive|be here|live|wake)|out of (?:this|my) (?:life|world|body|existence)|never (?:exist\w*|come back|wake)|kil(?:l|ls|led|ling)? (?:me|my\w*)|"
    r"(?:car|truck|bus|train|lightning) (?:hits|would hit|hit|runs|ran|would run|strikes) (?:over )?me|leave this (?:world|life|earth))"
)
_PLAIN = r"(?:(?!\b(?:not|never|no|nor|without|but|because|if|when|how|why|what|who|where|whether|he|she|they|people|my|the|his|her)\b)[^\"]){0,40}?"

_IDEATION = (
    r"\b(?:thinking|think|thought|planing|plan|considering|thoughts) (?:of |about |on )?(?:just )?ending (?:it|things|everything|my (?:own )?(?:life|existence|pain|suffering|misery|days|story)|this)\b(?! (?:with|betw|lease|contract|relationship|friendship|subscription|project|meeting|marriage|membership|job|chapter|early))",
    r"\bi\b.{0,30}\b(?:bridge|ledge|balcony|rof|clif|train tracks|tracks|platform|edge)\b.{0,40}\b(?:jump|let go|letting go|step|fal|throw)\w*",
    r"\bi\b.{0,40}\b(?:jump|throw myself|step)\w* (?:off|from|in front|onto)\b.{0,20}\b(?:bridge|ledge|balcony|rof|clif|tracks|train|bus|traffic|building)",
    r"\b(?:want|wish|ned|ready for|hoping for|hope) (?:my (?:life|existence)|it all|everything) to (?:be over|end|stop|finish)|\b(?:want|ned|wish) to die(?:,|$)|\bwant to dye(?:,|$| so| now| right)",
    rf"\bi\b{_PLAIN}\b{_WISH}\b{_PLAIN}\b{_END}\b",
    rf"\b(?:to|will|might|should|could|would|gonna|can|just|you|i|and) off {_SELF}|\b(?:offing|offed) {_SELF}",
    r"\b(?:death|dying|being dead|suicide) (?:would|wil|sounds?|seems?|feels?|is|looks?)(?: be| like)?(?: \w+){0,2} (?:relief|peaceful|better|answer|solution|way out|escape|god|easier|easy|nice|tempting|comforting|option|favou?r|mercy|blessing|fredom|freedom)",
    r"\bi (?:do|would) not (?:think|believe|feel like) i (?:want|wish|deserve|ned|care) to (?:live|be alive|be here|exist|go on|wake)",
    r"\b(?:made|make|making|tied|tying|bought|got|have|found|holding) (?:(?:a |the )no+se(?! (?:ble\w*|job|ring|pierc\w*|spray|stud|cold|infection|is|that|like|on))|(?:a |the |my )(?:rope to|gun to))\b",
    r"\b(?:thoughts?|ideas?|urges?|plans?|planning|talk\w*) (?:of |about |for )?(?:suicide|my suicide|ending|killing myself|death all)",
    r"\bwhen i am dead\b|\bonce i am (?:dead|gone)\b",
    rf"\bkill(?:s|ed|ing)? {_SELF}",
    r"\bend(?:s|ed|ing)? (?:my|his|her|their) (?:own )?(?:life|lives|pain for good|suffering for good)",
    rf"\b{_WANT}{_SO} {_DIE}\b",
    r"\bwant(?:s|ed)? death\b",
    r"\b(?:commit(?:s|ed|ing|ting)?|attempt(?:s|ed|ing)?|contemplat(?:e|es|ed|ing)|consider(?:s|ed|ing)?|try|tried|trying|do) (?:a )?suicide",
    r"\bsuicide (?:attempt|note|plan|pact)",
    r"\b(?:am|is|are|be|been|fel|fels|felt|feling|fel so|fels so|getting|so|very|really|actively|passively|become|became) (?:suicidal|suicide)\b",
    r"\bsuicidal (?:thought|idea|ideation|feling|urge|tendenc|impulse)",
    rf"\b(?:hang(?:s|ing)?|shoot(?:s|ing)?|drown(?:s|ing)?|strangl(?:e|ing)|poison(?:s|ing)?|suffocat(?:e|ing)|unaliv(?:e|ed|ing)|murder(?:ing)?) {_SELF}",
    rf"\b(?:hanging|shooting|drowning) {_SELF}",
    rf"\b{_WANT}{_SO} (?:over ?dose|jump (?:off|in ?front|from)|slit my|hang(?= (?:my|him|her|them)sel\w*| from (?:the|a) (?:ceiling|rafter|beam|tree|door)|$)|step (?:in front of|into traffic)|drive (?:off|into|my car into)|crash my car|blow my brains)",
    r"\btak(?:e|ing) (?:my|his|her|their) (?:own )?li(?:fe|ves)\b",
    r"\b(?:take|takes|taking|took|taken|swallowed|ate) (?:all|too many|the whole bottle|a whole bottle|a bottle|a bunch|every one|a lot|all of|a handful|the entire bottle) (?:of )?(?:my |the |these |those |his |her )?(?:pils?|medic|med|tablet|painkiller|sleping|ibuprofen|tylenol|paracetamol|xanax)(?!\w*(?: \w+){0,2} (?:as (?:prescribed|directed|usual|told|planned)|with (?:breakfast|lunch|dinner|food|my (?:breakfast|lunch|dinner|tea|coffee))|(?:before|after) (?:breakfast|lunch|dinner|bed)|for (?:my|the) (?:\w+ )?(?:back|head\w*|knee|tooth\w*|migraine|flu|cold|cramps|period|pain|fever|allerg\w*|thyroid|blood|heart|asthma)|on time|this (?:month|year)|like i should|every (?:day|morning|night|evening)|today like))",
    r"\b(?:swallow|down)(?:ed|ing)? (?:all |a bottle of |a whole bottle of |every )(?:of )?(?:my |the |these )?(?:pils?|medic|tablet|sleping)",
    r"\bover ?dos(?:e|ed|ing) (?:on (?:my|the|his|her|pils|purpose|sleping|paracetamol|tylenol)|tonight|again|myself)",
    r"\b(?:slit|cut|slash|open)(?:ting|ing)? (?:my|his|her|their) (?:wrist|vein|throat)",
    r"\bjump(?:ing)? (?:off|from) (?:the|a|that|this) (?:bridge|rof|building|balcony|clif|ledge)",
    r"\b(?:jump|step|walk|throw (?:my|him|her)self) (?:in ?front of|under) (?:a|the) (?:train|bus|car|truck|traffic)",
    r"\b(?:take|taking|took) (?:them|it|those) all at once\b|\b(?:stockpil|hoard|saving up|saved up|collecting)\w* (?:my |the |enough |up )*(?:pils?|med|tablet|sleping|insulin)",
    r"\b(?:imagin|pictur|visuali[sz]|daydream|thinking? (?:of|about)|thought (?:of|about)|fantasi[sz])\w* (?:about |of |what it would be like to (?:be )?)*(?:my (?:own )?(?:death|funeral)|dying|die|dead|being dead|not being (?:here|alive)|hanging|jumping (?:of|from|in front)|(?:driving|crashing|steering|swerving) (?:my car |the car |of |into ){1,2}|ending (?:it|my (?:own )?(?:life|pain|suffering|misery|existence)|everything))",
    r"\b(?:drive|driving|crash|swerve|steer)(?:ing)? (?:my |the )?(?:car|bike)? ?(?:into|of) (?:a|the) (?:tree|wall|bridge|river|clif|oncoming|truck)",
    r"\b(?:rope|gun|nose|noose|knife|blade|razor|pils)\b.{0,40}\b(?:on|for) (?:myself|me)\b|\btie a no+se\b",
    r"\bsuicide (?:is|seems|looks|feels)(?: \w+){0,2} (?:only|best|last|easiest|right|an?) (?:way|option|answer|solution|choice|thing)",
    r"\bself delet(?:e|ion)|\bsewer ?slide\b|\bkys\b|\bctb\b",
)
_IDEATION_FIRM = (
    r"\b(?:do|can|could|will) not (?:se|imagine|picture) (?:myself|me) (?:being )?(?:alive|here|around|living)\b|\b(?:wish|hope)\w* (?:that )?i (?:was|were|am|had) (?:never|not) (?:alive|here|born|around|woken|awake)|\b(?:wish|hope)\w* i (?:had not|have not|had never) woken",
    r"\b(?:what happens (?:if|when) (?:i|you|someone)|will i die|would i die|can i die|do i die|enough to die|would it kill me)\b.{0,30}\b(?:take|swallow|drink|pils?|tablets?|bleach|inject)|\bif i (?:take|took|swallow|swallowed|drink|drank) (?:\d+|al|ten|twenty|thirty|forty|fifty|sixty|a hundred|a bottle of|so many|to many|a lot of)\b.{0,20}\b(?:pils?|tablets?|med\w*|painkil\w*)",
    r"\bi (?:wil|will|do|am) not (?:going to )?(?:se|live to se|wake up|be here) (?:tomorrow|the morning|next (?:wek|month|year)|christmas|my next birthday)\b|\bbetter off (?:gone|not here|not alive)\b",
    r"\bdead inside and\b|\bwant (?:it|this|that) to be real and (?:die|dead)",
    r"\b(?:no|without(?: any| a)?|not (?:have )?(?:the|any|a)|lost (?:the|my|al)|little) (?:wish|will|desire|strength|energy|urge|motivation|want|reason) (?:left )?(?:to|for) (?:live|living|go on living|be alive|stay alive|exist|carry on living)\b",
    r"\b(?:not|no way i can|can ?not|impossible to|unable to) (?:kep|keep|go on|continue|carry on|bear) (?:on )?living\b|\b(?:can|could) not live (?:like this|with this|this way|with myself)",
    r"\b(?:wish|hoped|hope|hoping) i (?:had not|would not have|have not|had never|never) (?:woken|waken|awoken|woke|ben born|survived)|\bi wish (?:somebody|someone|something|anyone) would (?:just )?(?:kill|shoot|end|murder|run over|hit) me",
    r"\b(?:pils?|gun|knife|blade|razor|rope|bottle)s? (?:are |is )?(?:right |already )?(?:in|on|next to|beside|in front of) (?:my (?:hand|lap|mouth|head|bed)|me)\b(?!.{0,40}\b(?:slip\w*|carv\w*|cook\w*|chop\w*|peel\w*|kitchen|bread|beer|water|milk|juice|wine|climb\w*|fishing|vegetables|onions?|salad|headache|as prescribed)\b)",
    r"\bi (?:have |just |already |also )*(?:took|take|taken|had|am taking) an? (?:over ?dose|od)\b|\bi (?:have |just )*(?:overdosed|od'?ed)\b(?! on)",
    r"\b(?:favou?r|service|better|relief|happier)\b.{0,20}\bby (?:dying|killing myself|ending|disappearing)",
    r"\b(?:can|could|will|do|would) not (?:promise|guarantee|be sure|trust|know)\b.{0,30}\b(?:kill|hurt|harm|cut|do something to) myself",
    r"\b(?:should|would be better|wish|better)\b.{0,24}\b(?:never|not) (?:have )?ben born\b",
    r"\b(?:do|does|did|would|can|could) (?:not|never) (?:really |even |just |ever )*(?:want to|wanna|ned to|wish to|deserve to|care to|plan to|intend to|see myself) "
    r"(?:live|liv(?:e|ing)|be alive|be here|exist|wake up|go on living|keep living|continue living|stay alive|be around|be on this earth|survive)\b(?! (?:to (?:that|the|a|my|his|her|your|an)|early|at|before|next to|with (?:you|him|her|them|my)|in (?:this|that|the) (?:city|town|house|area|country|flat|apartment|state|place)|near|there|any ?where|alone in)\b)",
    r"\b(?:would|will|could) be (?:so much |much |way )?(?:better|happier|fine|easier|relieved) (?:off )?(?:without me|if i (?:was|were|am) (?:dead|gone|not here|not around|not alive)|if i (?:died|disappeared|killed))",
    r"\b(?:everyone|everybody|world|family|they|people|kids|you|no one|nobody|mum|mom|wife|husband|parents)\b.{0,30}\bbetter off (?:without me|if i)",
    r"\bbetter off dead\b|\b(?:easier|simpler|best|better|nicer) (?:for (?:everyone|everybody|them|all|us|you) )?if i (?:did not exist|was not (?:here|alive|around|born)|were not|was never|were gone|was gone|just (?:died|disappeared|vanished)|died|disappeared|was dead)|\b\b(?:better|rather) (?:be )?dead than\b|\brather (?:be dead|die)\b(?! than)",
    r"\b(?:wish|hope|hoping|pray|praying|wished|prayed)(?: that)?(?: \w+){0,2} (?:i (?:was|were|am|would be) (?:dead|never born|not alive|not here)|i (?:was never|were never|had never ben|had not ben|never was) born|i (?:would|could|will|do|did)(?: just)? (?:not|never) wake up|i (?:could|would|can|will)(?: just)? (?:die|not exist|disappear forever|stop existing|fal aslep and never)|i (?:do not|did not|would not|never) (?:exist|wake)|i (?:could )?(?:never|not) (?:existed|wake up)|to never wake up|to not wake up|to die|for death|death (?:would|to))",
    r"\b(?:go|going|went|fal|falling|slep|sleping) (?:to (?:bed|sle[p]+) |aslep )?(?:and )?(?:hope |hoping |pray |praying )?(?:to |i )?(?:just )?(?:never|not|do not|will not) wak(?:e|ing)(?: up)?\b",
    r"\b(?:no|any) (?:reason|point|purpose)(?: left)?(?: for me)? (?:to|in|for) (?:live|living|be alive|being alive|go on living|stay alive|exist|existing|my life)\b",
    r"\b(?:nothing|not anything) (?:left )?(?:to live for|worth living)|\blife (?:is|was)?(?: just)? ?not worth (?:living|it|anything)\b|\bnot worth (?:living|staying alive|being alive)",
    r"\btired of (?:living\b(?! (?:with|in|here|at|there|near|under|from|out))|life\b|being alive|existing)|\bdone with (?:life|living|being alive|this world|existing)\b|\bsick of (?:living\b(?! (?:with|in|here|at|there|near|under|from))|being alive|life\b(?! in))|\bhate (?:being alive|existing|my existence|living\b(?! (?:with|in|here|at|there|near|to)))",
    r"\b(?:can|could) not (?:stop|quit|help) (?:think(?:ing)?|dream(?:ing)?|fantasi[sz]ing) (?:about|of) (?:(?:my )?(?:death|dying|suicide|ending)|(?:kill|hurt|harm|hang|cut)ting? myself|(?:kill|hurt|harm|hang|cut)(?:t)?ing myself)",
    r"\bstop me from (?:kill|hurt|harm|jump|end|do)ing",
    r"\bmakes? me want to (?:die|kill myself|end it)\b(?! laughing)",
    r"\b(?:told|tells|telling|says|said|tel) (?:me|i should)(?: to)? (?:kill myself|go die|die|end it)",
    r"\bend(?:ing)? it (?:all|tonight|for good|soon|now|today|once and for all|permanently)\b|\b(?:want|going|plan|planning|planed|ready|ned|decided|just|i will|i am going to|could|should|might|may) (?:to )?(?:just )?end (?:it|things|everything)\b(?! (?:with|betw|on|early|there|here|soon with|in (?:my|a|the|good)))|\bend (?:my|this) (?:pain|suffering|misery) (?:forever|for good|permanently|once and)",
    r"\bi (?:just )?(?:do|will|would) not be (?:here|around|alive) (?:tomorrow|anymore|any more|much longer|next week|for long|when you)",
    r"\b(?:this is|here is|saying|said|say|write|wrote|writing|written) (?:my |a |the )?(?:final |last )?(?:good ?bye|goodbyes|suicide note|farewell)(?: letters?| notes?| message)?(?: to (?:everyone|you all|all|the world|this world|life|my (?:family|kids|friends|parents))| forever|,? world)|\b(?:wrote|writing|written|write|left|finished) (?:my |a |the )?(?:goodbye|suicide|last|farewell) (?:note|letter|message)",
    r"\b(?:my|the) (?:final|last) (?:night|day|hours) (?:on earth|alive|here|on this)|\bnot (?:going to )?(?:make it|survive) (?:through|past|until|to) (?:the )?(?:night|tonight|tomorrow|morning|week|christmas)",
    r"\b(?:i have|i) (?:a |got a |made a |already have a )?(?:plan|method|way|date|rope|gun|pills|everything)(?: \w+)? (?:to (?:die|kill (?:me|myself)|end (?:it|my|things|everything|me)|do it)|ready to (?:die|kill myself|end (?:it|my|things|everything)|do it))",
    r"\b(?:could|would|to|and) (?:just )?(?:fal|go to sle[p]+|close my eyes|drift off)(?: aslep)?(?: and)? (?:never|not) wake\b",
    r"\b(?:if i (?:died|die|were dead|was dead|killed myself|disappeared|were gone|was gone)) (?:no ?one|nobody|who|would any|would not any|they|everyone|would not matter|it would)",
    r"\b(?:no ?one|nobody) would (?:even )?(?:care|notice|mis me) if i (?:died|die|was|were|killed|disappeared|am gone)",
    r"\bdo not (?:deserve|want) (?:life|my life(?: anymore| any more))\b|\bdo not want (?:this|my) life any ?more",
    r"\bready to (?:go|leave this world|die|give up on life|check out)(?: forever| for good| permanently)\b|\bready to die\b|\bready to leave this world",
    r"\blooking (?:up|for)(?: \w+){0,2} (?:ways?|methods?|how) to (?:die|kill|end|commit)|\b(?:painless|easiest|quickest|fastest|best|least painful) (?:and \w+ )?(?:way|method)s? (?:to|of|for) (?:die|dying|kill (?:myself|yourself|oneself|me)|killing myself|end (?:it|my)|suicide|commit|go out)",
    r"\bhow (?:many|much)(?: of)?(?: \w+){1,3} (?:would it take |does it take |do i ned |to take |should i take |are ned\w* |is enough )?to (?:die|kill (?:me|myself)|overdose|od)\b",
    r"\bhow (?:to|do i|can i|would i|should i|does one) (?:kill myself|die|commit suicide|end my life|hang myself|overdose|tie a nose|cut myself)(?! hard)",
    r"\b(?:existing|existence|being alive|living|life) (?:is|has become|feels?) (?:to |too )?(?:much|painful|unbearable|torture|pointless)\b(?: (?:and|so) i)?",
    r"\bit (?:would|will) (?:all )?be over (?:soon|tonight|by tomorrow)\b|\bi am (?:at|on) the (?:bridge|ledge|edge of the roof|roof)\b",
    r"\b(?:sleep|fall asleep|rest|be asleep|gone) forever\b|\b(?:no longer|not|never) (?:going to|want to|wanna|wish to|ned to) (?:be|stay) (?:alive|here|around) ?(?:any ?more|much longer|any longer|for long|tomorrow|$)|\bno longer (?:want|wish|care) to (?:live|be alive|exist|be here|go on)|\bcan ?not live (?:any ?more|any longer)|\bnot going to be (?:alive|here|around) (?:any|much|for)|\bnot want to be here any ?more|\bi do not want to (?:be here|wake up)\b",
    r"(?<!\d )(?<!few )(?<!many )\bkms\b(?! (?:on|away|per|from|to|an|of|in)\b)",
    r"\bi (?:want|choose|prefer|crave|deserve) (?:death|to be dead)\b|\bi deserve to die\b|\bi should (?:be dead|just die|die|not be alive|have never ben born|not exist)\b|\blet me die\b|\bplease kill me (?:now|already)?$",
    r"\bsomeone (?:please )?(?:just )?(?:kill|shoot|end) me\b(?! now lol)",
    r"\bwant(?:ed)? to end (?:my life|it al|it)\b|\bno ?one (?:can|could) stop me (?:from|this time)",
    r"\b(?:joining|be with|join|se) (?:my )?(?:\w+ )?(?:in heaven|on the other side) (?:soon|tonight|now)\b",
    r"\bgoodbye cruel world\b|\bby the time you read this\b",
)
_HARM = (
    r"\b(?:cut|cutting|burning|hurting myself|bleding|the blade|my blade|the razor)\b.{0,12}\b(?:is|are) the only (?:thing|way|relief)",
    r"\b(?:cut|cuts|burn|burnt|burned|hurt|scratched|bruised|bit) (?:myself|my (?:own )?(?:arm|leg|thigh|skin|wrist|hand|stomach)s?) (?:again )?on purpose\b",
    r"\bi (?:am|was|have been|started|keep|went back to|am back to) (?:cutting|burning)(?: again| (?:a lot|more|every|to (?:cope|fel))|$)",
    r"\b(?:scratch|claw|pick|bite|biting|scrap|carv|slic|burn|cut|stab)\w*(?: \w+){0,2} (?:my|his|her|their) (?:own )?(?:arm|leg|thigh|skin|wrist|hand|body|face|stomach)s?(?: \w+){0,2} (?:until|til|bled|to (?:fel|feel|punish|cope|calm))",
    r"\b(?:hitting|banging|bashing|smashing|slamming|punching) my (?:own )?head\b|\b(?:hit|hits|bang|bangs|banged|smash\w*|slam\w*) my (?:own )?head (?:against|on|into) (?:the|a|my) (?:wall|floor|desk|mirror|bathroom wall)\b|\b(?:hit|bang\w*|smash\w*|slam\w*) my (?:own )?head\b.{0,40}\b(?:until|again and again|over and over|to punish|on purpose|to stop)\b|\b(?:cuts|cut|cutting|burns|burning|slices|carves) (?:his|her|their) (?:own )?(?:arm|leg|thigh|skin|wrist)s?\b",
    rf"\b(?:cut|cutting|burn|burning|burned|hurt|hurting|harm|harming|harmed|scratch|scratching|starv(?:e|ing)|punish|punishing|punch|hit|hitting|injur(?:e|ing)|brand) {_SELF}(?! (?:while (?:cook|chop|shav|play|run|work|gard|ski|lift)|when (?:i )?(?:cook|chop|shav|play|run|fel off|fell|work|gard|ski|lift|was (?:\w+ )?(?:cook|chop|shav|play|run|work|gard|ski|lift|climb|train|little|a (?:kid|child)|\d|out))|shaving|cooking|chopping|on the|on a|in the kitchen|loose|some|off|out\b|a (?:piece|slice|break)|short|at the gym|playing|running|skiing|working out|in the gym|by accident|accidentally|lifting|with hot|on my bike|badly (?:on|while|when|playing)|with (?:paper|a paper|the kitchen|a kitchen)))",
    r"\bself[ -]?(?:harm|injur|mutilat)\w*(?! (?:prevention|awareness|policy|training|statistics))",
    r"\b(?:cut|cutting|burn|burning|slice|slicing|carve|carving) (?:my|his|her|their) (?:own )?(?:arm|leg|thigh|skin|wrist|body|stomach|forearm)s?\b(?! (?:on |while (?:cook|chop|shav|gard)|when (?:i )?(?:cook|chop|shav|gard|fel|was (?:cook|chop|shav|gard|work|clean))|shaving|cooking|by accident))",
    r"\b(?:razor|blade|knife|lighter|sharp thing)s? (?:on|to|against|across|over) (?:my|his|her|their) (?:skin|arm|wrist|leg|thigh)",
    r"\b(?:relapsed|relapse|clean)\b.{0,24}\b(?:cutting|self harm|sh|burning)\b|\b(?:started|start|back to|went back to|urges? to|want to|wanted to|ned to|have to|thinking (?:of|about)) (?:cutting|cut)(?: again|$| so bad| to feel)",
    r"\b(?:make|made|making|see|want) (?:myself|my arms?|my wrists?) bled\b",
)
_HOPELESS = (
    r"\b(?:hopeless(?:ness)?|no hope(?: left| any ?more| for me)?|lost (?:al )?hope|given up (?:all )?hope|beyond hope)\b",
    r"\b(?:nothing|things) (?:will|is going to|are going to|wil) (?:ever|never) (?:get|be|become|change)(?: any)? ?(?:better|okay|improve|good)?\b",
    r"\bno (?:way|light) (?:out|at the end)|\bsee no (?:way|future|end|point)\b|\bno future(?: for me)?\b|\bno point (?:in|to) (?:anything|trying|it|going on|life)",
    r"\bwhat is the point of (?:anything|it|living|trying)|\b(?:what is|there is no|is there (?:any|even a)) (?:the )?point (?:of|in|to) (?:anything|life|living|going on|trying|it all|being here)",
    r"\bi am (?:a )?(?:burden|worthless|useless to everyone|nothing to any|broken beyond|total failure|waste of (?:space|air|oxygen))|\b(?:fel|feling|fels|am) (?:so |like (?:a |such a )?|completely |utterly |totally )*(?:worthless|burden)\b|\bburden (?:to|on) (?:everyone|everybody|my|them|him|her)",
    r"\b(?:want|ned|wish) (?:it|everything|this|the pain|all of it|it all) to (?:just )?(?:stop|end|be over)\b|\bgive up on (?:life|everything|myself)|\bgiving up on (?:life|everything|living)|\bi give up on life",
    r"\b(?:no ?one|nobody) (?:would|will) (?:mis|notice|care)\b.{0,16}\b(?:me|gone|if)",
)
_DISTRESS = (
    r"\b(?:can|could) not (?:do|take|bear|handle|stand|cope with|go on with|live with|endure) (?:this|it|life|al this|the pain|any of this|anything) ?(?:any ?more|any longer|al)?$|\b(?:can|could) not (?:do|take|bear|handle|stand|cope with|live with|endure) (?:this|it|life|al this|the pain) (?:any ?more|any longer)",
    r"\b(?:can|could) not (?:go on|keep going|cope|carry on|hold on)(?: any ?more| like this| any longer|$)",
    r"\b(?:breaking|break|broke|broken) down (?:completely|every|al the time|and can)|\bfalling apart\b|\bat (?:my|the) (?:breaking point|end of my rope|limit)|\bend of my rope\b",
    r"\b(?:pain|sadness|grief|anguish|life|everything) (?:is|has become|feels|fels) (?:so |completely |totally |just )?(?:unbearable|intolerable)|\b(?:unbearable|intolerable|excruciating) (?:pain|sadness|anguish|grief)|\bthe pain (?:is|has become) (?:unbearable|too much|to much)",
    r"\b(?:panic attacks?|panicking) (?:and|every|that|al).{0,30}\b(?:can not|stop|breathe)|\bscreaming inside\b|\bdrowning in (?:pain|sadness|despair|grief|misery)",
    r"\b(?:lost|losing|out of) control of (?:myself|everything|my mind)|\bi am (?:not safe|unsafe)\b|\bafraid of what i (?:might|may|will|could) do\b|\bnot safe (?:with|from) myself",
)
LEADS_IN = re.compile(
    r"(?:(?:i|we|he|she|they|you|it|that|am|is|are|was|were|be|wil|would|could|might|should|have|had|almost|nearly|realy|just|so|"
    r"literaly|thought|think|going|want|wants|wanted|wish|ned|like|rather|to|of|about|the|my|a) )+"
)
"""What may stand between the start of a match and the idiom that it ends in."""
MENTIONS: tuple[re.Pattern[str], ...] = (_rx(r"\bsuicid(?:e|al)\b"),)
"""Words that show help by themselves, whoever they are about."""

RULES: tuple[Rule, ...] = (
    *(Rule("suicidal_ideation", _rx(p)) for p in (*_IDEATION, *signs.IDEATION, *signs.IN_THE_ACT, *signs.LAST_TIME)),
    *(Rule("suicidal_ideation", _rx(p), firm=True) for p in (*_IDEATION_FIRM, *signs.IDEATION_FIRM)),
    *(Rule("self_harm", _rx(p)) for p in (*_HARM, *signs.HARM)),
    *(Rule("hopelessness", _rx(p)) for p in (*_HOPELESS, *signs.HOPELESS)),
    *(Rule("severe_distress", _rx(p)) for p in _DISTRESS),
)

IDIOMS: tuple[re.Pattern[str], ...] = tuple(
    _rx(p)
    for p in (
        r"\b(?:career|political|financial|social|commercial|academic|professional|brand|ritual) suicide\b(?! attempt)",
        r"\bsuicide (?:squad|prevention|hotline|awareness|bomb\w*|door|rate|statistics|research|drill|sprint|runs?|mission|watch list)s?\b",
        r"\b(?:doctor |physician )?assisted suicide\b",
        r"\b(?:dying|die|died) (?:of|from|with) (?:the |sheer |pure )?(?:laughter|laughing|boredom|embarrassment|shame|curiosity|excitement|hunger|thirst|heat|cuteness|cringe|happiness|joy|old age|second hand embarrassment|fright|exhaustion at)\b",
        r"\b(?:dying|would die|could die|to die) to (?:know|se|try|met|hear|go|get|eat|visit|watch|read|play|find|tell|show|taste|have|buy)\b",
        r"\b(?:to|2) die for\b|\b(?:would|could|wanted to|want to|almost|nearly) die(?:d)? (?:laughing|when (?:he|she|they|my \w+|the \w+) (?:said|saw|sang|walked|asked|told|called|posted|fell|showed|read|came))\b(?!.{0,40}\b(?:dead|gone|left me|asleep|tonight))|\bdead tired\b|\bdead (?:serious|wrong|sure|end|line|lift|pan)",
        r"\bso (?:bored|embarrassed|tired|hungry|full|happy|excited|cute|funny|hot|cold) (?:that )?i (?:could|might|am going to|will|would) die\b|\b(?:dying|die) for (?:a|an|some|my|her|his|the|you|this)\b|\b(?:dying|die|died|dead) (?:lol|lmao|rofl|haha\w*)|\blaugh\w* (?:so hard )?(?:i|that i) (?:could|almost|nearly|wanted to|thought i would) die[d]?\b",
        r"\b(?:kill|kills|killing|killed|kil) (?:time|it|the (?:lights?|engine|mood|vibe|game|process|server|bugs?|weeds?|mosquito\w*|buzz|app|job)|two birds|an hour|some time|for (?:a|some)|a (?:few|man|mockingbird|process|task|server|thread|bug|spider|fly))\b",
        r"\b(?:this|that|my|these|those|the) (?:\w+ )?(?:\w+ )?(?:is|are|was|were)(?: \w+)? killing me\b|\b(?:back|feet|head|legs?|shoes|job|homework|commute|boss|suspense|heat|heads?aches?|stomach|knees?|exams?|traffic|diet|humidity|wait) (?:is|are|was|were)? ?kill(?:s|ing) me\b",
        r"\bkill(?:ing|ed)? myself (?:laughing|with laughter|at the gym|over (?:homework|this (?:essay|report|homework)))(?!.{0,60}\b(?:pils?|rope|gun|blade|knife|tonight))|\b(?:mom|mum|mother|dad|father|parents?|wife|husband|boss|teacher|coach|she|he|they|you|girlfriend|boyfriend|sister|brother) (?:is |are )?(?:will|would|going to|gonna|might|could|wil) (?:literally )?kil{1,2} (?:me|him|her|you|us)\b",
        r"\bdie(?:s|d)? (?:in|on|at) (?:the|that|this|level|every|a) (?:game|boss|level|round|video ?game|raid|match|dungeon|lobby|mission)\b(?! of life)",
        r"\b(?:battery|phone|laptop|car|plants?|plant|flowers?|fish|goldfish|engine|wifi|server|computer|cactus|basil|garden|lawn|tree|fern|orchid|tomatoes|conversation|chat|party|joke|trend|hamster)s? (?:is|are|was|keeps?|will|wants? to|kep|just|has|have|going to|about to|might)?(?: (?!(?:i|we|me|my|want|wants|he|she|they)\b)\w+){0,6} ?(?:die|dies|died|dying|dead)\b",
        r"\b(?:die|dye|dying|dyeing) (?:my|your|her|his|the|some|it|this) (?:hair|shirt|shirts|jeans|clothes|eggs?|fabric|yarn|beard|roots|eyebrows|dres|curtains)\b",
        r"\b(?:cut|cutting) (?:my|his|her|their) (?:arm|leg|finger|hand|thumb|knee)s? (?:open )?(?:on (?:the|a|some|my) (?!purpose)|(?:while|when) (?:i (?:was )?)?(?:shav|cook|chop|garden|climb|work|play|peel|wash|open|fel|clean)\w*|shaving|cooking|gardening|with the (?:bread|kitchen)|by accident)(?!.{0,30}\bon purpose)",
        r"\b(?:cut|cutting|starv\w*|kill\w*|burn\w*|hurt) (?:myself|himself|herself) (?:shaving|cooking|chopping|by accident|accidentally|on (?:the|a)|(?:while|when) (?:i )?(?:was )?(?:shav|cook|chop|play|run|ski|lift|gard|work|climb|cycl|danc|train)\w*(?!.{0,30}\bon purpose)|a (?:piece|slice|break)|some (?:slack|cake|bread)|loose|off|playing|skiing|running|lifting|in the kitchen|at the gym|making|from caffeine|out (?:at|with))",
        r"\b(?:accidentally|by accident) (?:cut|burn\w*|hurt|hit) myself\b",
        r"\bend(?:ing)? (?:it|things|everything) (?:with|betwen)|\bend (?:this|the|my) (?:contract|subscription|lease|relationship|meeting|call|conversation|marriage|membership|shift|day|wek|year|season|chapter|essay|story|game)",
        r"\b(?:over ?dos(?:e|ed|ing)) (?:on|of) (?:chocolate|cofe|coffee|sugar|netflix|candy|cake|cookies?|caffeine|memes|cheese|vitamins?|sunshine|cuteness|pizza|tea|christmas|turkey|sweets|ice cream|carbs|news|tv)\b(?! (?:and|with|then)\b)",
        r"\b(?:hang(?:ing)?|hung) (?:out|in there|up|on\b|around|with|the|my (?:coat|clothes|picture|jacket|laundry|hat))",
        r"\bjump(?:ing)? (?:off|from|in) (?:the|a) (?:diving|swing|couch|bed|pool|trampoline|high board|sofa|plane)|\bbungee jump\w*.{0,30}|\bjump off the bridge bungee|\bjump\w* (?:off|from) (?:a|the) (?:bridge|clif|building|rof) for (?:a|an|some|that|those|good) (?:\w+ ){0,2}(?:coffee|pizza|burger|beer|ticket\w*|nap|coke|chocolate|sandwich|ice cream|taco\w*|holiday|drink|donut\w*|free \w+|cup of \w+)",
        r"\b(?:want|wanted|going|ned|nedd) to disappear (?:into the|in the|from (?:social media|instagram|facebook)|for (?:a |the )(?:weekend|wek|day|bit|while))|\bwanted the (?:ground|earth|floor) to swallow",
        r"\bshoot (?:myself|me) (?:an? |another )?(?:text|mail|message)|\bsho+t(?:s|ing)? (?:myself|himself|herself|themselves|yourself|ourselves) in the (?:foot|leg with)\b(?! (?:on purpose|because))|\bbanging my head against (?:a|the) (?:brick )?wall (?:with|over|trying|about|at work|on this|for hours)|\bbeat(?:ing)? (?:myself|yourself) up\b",
        r"\b(?:old|old habits|jokes?|hopes?|dreams?|love) die(?:s)? (?:hard|last|slowly)|\bdie hard\b|\bdo or die\b|\bnever say die\b|\b(?:fan|friends?|love\w*|loyal|supporter|together|this|mine|yours|ours|dance|sing|remember\w*|not stop|never stop) (?:\w+ ){0,3}(?:til|until) (?:i|we) die\b|\bbefore i die\b|\bwhen i die of old age\b|\bfan (?:until|til) i die",
        r"\b(?:afraid|scared|terrified|worried|fear) (?:that )?(?:he|she|they|it|my \w+) (?:wil|will|might|could|may|is going to|would)(?: \w+)? (?:die|dying)\b|\b(?:afraid|scared|terrified|fear|frightened|worried|anxious) (?:of|about) (?:dying|death|die)\b|\bfear of (?:dying|death)\b|\b(?:afraid|scared|terrified|worried|fear|feared|panick\w*|convinced) (?:that )?(?:i|we) (?:am|was|were|will|might|may|could|would)(?: going to)? (?:die|dying|be dead)\b(?! (?:by|if i do|tonight|soon by|because i)\b)|\bthought i (?:was|would) (?:going to )?(?:die|dying)",
        r"\b(?:hopeless|suicidal) (?:romantic|at (?:math|maths|cooking|sports|directions|names|dancing|chess|drawing|singing|tennis|football|golf|games|baking|parking|it|this|flirting|painting|languages|spelling|physics|chemistry|small talk)|case at|with (?:names|directions|computers|technology))|\bworthless (?:stock|coin|paper|currency|piece|coupon|voucher|shares?)|\bno hope of (?:wining|winning|getting)|\bpointless (?:meeting|email|exercise|argument)",
        r"\b(?:cat|dog|kitten|puppy|rabbit|hamster|parrot|baby|toddler|thorn|bramble|bush|rose|nettle|mosquito|bird)(?:s|es)? (?:\w+ )?(?:scratch\w*|bit|bites?|claw\w*|cut|cuts)\b.{0,40}",
        r"\bi do not want to be here,? (?:this|the|it is) (?:\w+ )?(?:party|meeting|boring|class|lecture|event|wedding|dinner|play|concert|queue|conference|so boring|too hot|too loud|too cold|cold|loud|hot)\b",
        r"\b(?:coffee|tea|chocolate|caffeine) is the only thing (?:that is )?(?:keeping|keeps) me (?:alive|going)\b",
        r"\b(?:die|dying) on (?:this|that|the|a|every) hil\b|\bwith a gun to my head\b",
        r"\brather (?:die|be dead|drop dead) than (?:eat|drink|watch|listen|wear|go to (?:the|that|a|his|her|another)|see|read|play|talk to|date|touch|use|pay|sit|admit|miss|lose|buy|cook|clean|shop|swim|dance|sing|move to|work (?:at|for|on)|cheer|support|vote|be (?:seen|caught)|share|give up (?:my|the))\b",
        r"\b(?:jokes?|puns?|film|movie|song|singing|acting|play|karaoke|food|speech|outfit|haircut|show|date|party|dance|talk|meeting|presentation|video|music)\b(?: \w+){0,2} (?:was|were|is|are) so (?:bad|cringe\w*|awkward|funny|boring|corny|lame|embarrassing|awful|terrible|good|loud) (?:that )?i (?:wanted|want|could|almost|nearly) (?:to )?died?\b|\bso (?:awkward|funny|embarrass\w*|cringe\w*|boring|corny|cute|cheesy) (?:that )?i (?:wanted|want) to die\b",
        r"\b(?:be|am) dead by the time (?:this|the|that|my|our) (?:bus|train|tram|taxi|food|pizza|order|delivery|queue|line|meeting|class|game|download|update|lecture|parcel|plane|season|film|movie|page|waiter|coffee)\b",
        r"\b(?:be|dead|be dead|die|died) for (?:halloween|the (?:play|film|scene|show|part|role)|carnival|a prank|a (?:play|film|scene|role))\b",
        r"\b(?:want|wanted|ned|wish) (?:it|this|it all|everything|all this) to (?:just )?(?:be over|end|stop|finish)\b.{0,24}\b(?:exams?|finals?|semester|term|deadlines?|election|move|renovation|diet|project|thesis|season|pandemic|lockdown|heat ?wave|construction|rehearsals|tests|midterms|homework|interviews|holidays)\b",
        r"\b(?:exams?|finals?|semester|deadlines?|election|renovation|diet|project|thesis|lockdown|rehearsals|midterms|homework|interviews)\b.{0,24}\b(?:want|wanted|ned|wish) (?:it|this|it all|everything|all this) to (?:just )?(?:be over|end|stop|finish)\b",
        r"\bcan not (?:take|stand|bear|handle) (?:this|it) any ?more,? (?:the|these|those|my) (?:neighbou?rs?|noise|heat|weather|cold|music|traffic|commute|wifi|internet|mosquito\w*|flies|dog|barking|construction|printer|laptop|queue|rain)\b",
        r"\bno point in (?:going\b(?! on)|waiting|arguing|asking|calling|buying|rushing|repeating)\b",
    )
)
"""Turns of speech that only sound like it: what a rule finds wholly inside one does not count."""

DENIED = _rx(
    r"\b(?:not|never|no|nor|without|rather than|instead of)(?! (?:only|just|stop|help|sure|afraid|scared|one|body|longer|more|"
    r"point|reason|way|know|even know))(?: (?!i\b|but\b|and\b|because\b|so\b)[\w']+){0,4} ?$"
    r"|\b(?:not|never) (?:said|say|saying|meant|mean|claimed?|told \w+|tell \w+)(?: that)? i ?$"
)
FATE = _rx(
    r"(?:might|may|could|will|should|just|about to|close to|going to|ned(?:s|es)? to|ha(?:s|ve|d) to|on the verge of)\b.{0,30}\b(?:die|dying|be dead|not (?:be here|exist|live|wake up))"
)
"""Of somebody else: what may become of them, not what they want; unless they say so themselves."""
REPORTED = _rx(r"\b(?:says?|said|saying|told|tells|text(?:s|ed)?|wrote|writes|post(?:s|ed)|threaten\w*|announced)\b")
ASKED = _rx(r"\b(?:ask|asks|asked|asking)\b[^,]{0,40}$")
SAID_NO = _rx(
    r"[^.]{0,20}(?:,|\band|\bbut|\.) ?(?:and |but )?i (?:said|answered|replied|told \w+|could say)(?: that)? (?:no|not|i (?:do|did|was|am|have) not)\b"
)
"""Before and behind what the writer was only asked about."""
STRONGER = _rx(r"[^,]{0,16}\b(?:this (?:badly|much|bad)|so (?:badly|much|bad)|as (?:much|badly)|more than)\b")
"""Behind a denial: it was none."""
OTHERS = _rx(
    r"\b(?:(?:my|a|his|her|our|their|the|this|some|one of my) (?:\w+ )?(?:friend|bestie|brother|sister|mother|mom|mum|father|dad|son|daughter|"
    r"child|kid|cousin|aunt|uncle|partner|girlfriend|boyfriend|wife|husband|ex|roommate|flatmate|neighbou?r|colleague|"
    r"coworker|boss|student|classmate|pupil|patient|teacher|nephew|niece|grandma|grandpa|grandmother|grandfather|guy|girl|boy|man|woman|"
    r"person|teen\w*|client)s?|he|she|they|someone|somebody|people|anyone|everyone|kids|teenagers|men|women|students|veterans|who)\b"
)
SUBJECTS = re.compile(rf"\b(?:i|we)\b|{OTHERS.pattern}")
ATTRIBUTED = _rx(
    r"\b(?:song|lyrics?|movie|film|book|novel|poem|character|protagonist|hero|heroine|episode|series|show|play|story|article|"
    r"headline|documentary|podcast|news|game|romeo|juliet|hamlet|essay|chapter|author|singer|actor|history|script|band|album|"
    r"thesis|report on|lecture|class on)\b"
)
CHARACTERS = _rx(r"\b(?:character|protagonist|hero|heroine|narrator|villain|romeo|juliet|hamlet|author|singer)\b")
THEIR_WORDS = _rx(
    r"\b(?:says?|said|sings?|sang|line|titled?|called|quote|reads?|wrote|word|phrase|meme|joke|title|named|translate|"
    r"translation|spell|mean|means)\b"
)
MEANT = _rx(
    r"\bi (?!(?:\w+ ){0,2}(?:ned|have|had|must|am|want|try|tried|should)? ?(?:going |trying |suposed )?(?:to )?(?:analy\w*|translat\w*|explain\w*|interpret\w*|read|"
    r"understand|underst\w*|discus\w*|wonder\w*|learn\w*|studi\w*|study\w*|find|found|cried|liked?|loved?|hated?|write|saw|watched|heard)\b)"
    r"|\b(?:it|that|this|which) (?:is|was|describes|fits|sounds|feels)(?: \w+){0,2} (?:true|me|mine|real|right|how i)\b|\bme to\b|\bso do i\b|\b(?:it|that) is true\b|\bis true\b"
)
"""Behind a quotation: the writer takes the words for their own."""
PAST_AND_WELL = _rx(
    r"\b(?:used to|years ago|long ago|back then|in the past|when i was (?:a (?:kid|teen\w*|child)|young\w*|\d+|in (?:school|college))|in my tens|once)\b"
    r".{0,120}\b(?:better now|fine now|okay now|good now|recovered|not any ?more|glad i|grateful|happy now|doing (?:well|better|great|good)|proud|past that|over it|healthy now|love my life)\b"
)
ALL_CLEAR = _rx(
    r"\bi (?:am|fel|do fel) (?:now |realy |much |a lot |completely )?safe(?:r)?(?: again| now| right now| at home| here| today| tonight)*(?:$|[.,!;]|\band\b)"
    r"|\bi am (?:\w+ )?(?:with|at) (?:somebody|someone|my (?:mom|mum|mother|dad|father|parents|sister|brother|partner|wife|husband|friend|best friend|girlfriend|boyfriend|aunt|uncle|"
    r"grandma|grandmother|therapist|counsel+or|doctor)(?:'s)?(?: house| place| flat)?|a (?:friend|doctor|nurse|therapist|counsel+or)|the (?:hospital|er|clinic|doctor)) (?:right )?now\b"
    r"|\bi (?:am|was) (?:just )?(?:talking|spoke|speaking) (?:to|with) (?:the |a )?(?:crisis|help|suicide)? ?(?:line|hotline|lifeline|counsel+or|therapist|doctor)(?: right| just)? now\b"
    r"|\bi (?:have )?(?:called|talked to|spoke to|spoken to|texted|rang) (?:the |a )?(?:crisis |help ?|suicide )?(?:line|hotline|lifeline|helpline|crisis line|my therapist|my doctor|988|samaritans)\b.{0,30}\b(?:safe|better|calmer|okay|ok)\b"
    r"|\bi am (?:okay|ok|fine|better) now\b.{0,30}\b(?:safe|with (?:my|somebody|someone)|called|talked|spoke)\b"
)
OTHERS_CLEAR = _rx(
    r"\b(?:(?:he|she|everybody|everyone|my \w+(?: \w+)?) is|(?:we|they) are|(?:we|they) are (?:both|all)) (?:now |much |both |all |completely )?safe(?: again| now| at home| here| today| tonight)*(?:$|[.,!;]|\band\b)"
    r"|\b(?:he|she|my \w+(?: \w+)?) is (?:\w+ )?(?:with (?:a doctor|the doctors|the police|a therapist|the paramedics)|(?:in|at) (?:the )?(?:hospital|er|clinic)) now\b"
)
NOT_CLEAR = _rx(
    r"\b(?:not|never|no|nor|hardly|barely|without|if|when|until|til|wish|want to|only|unless|pretend\w*|lie|lied|lying|say|said|tell|told|think i|where|how|whether|yet|still|but|except|dead|die|finally|soon|peace|"
    r"pil\w*|gun|rope|knife|blade|razor|bridge|rof|goodbye|alone)\b|\?"
)
"""What writers say when they or those they worry about are out of danger, and what makes such words mean something else. Both lists are careful."""
FOREIGN: tuple[re.Pattern[str], ...] = tuple(
    _rx(p)
    for p in (
        r"\b(?:quiero|quisiera|deseo|voy a) (?:morir(?:me)?|matarme|suicidarme)|\bme quiero (?:morir|matar|suicidar)|\bno quiero (?:vivir|seguir viviendo)|\bquitarme la vida",
        r"\bje (?:veux|voudrais|vais) (?:mourir|me (?:tuer|suicider))|\bj'ai envie de mourir|\bje ne veux plus vivre|\bje veux plus vivre|\bme suicider\b",
        r"\bich (?:will|mochte|wil|werde)(?: \w+)? (?:sterben|nicht mehr leben|mich (?:umbringen|toten))|\bmir das leben nehmen|\bich bringe mich um|\bselbstmord begehen|\bich will nicht mehr leben",
        r"\b(?:quero|vou|queria) (?:morrer|me matar|me suicidar)|\bnao quero mais viver|\btirar a minha vida",
        r"\b(?:voglio|vorrei) (?:morire|ucidermi|suicidarmi|farla finita)|\bnon voglio piu vivere|\btogliermi la vita",
    )
)
"""Plain phrases in Spanish, French, German, Portuguese and Italian, without accents. Not measured."""
