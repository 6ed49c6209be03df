-- include: states

-- What is known of jobs: for each that is there number, body, state, outcome, progress, message, tie
-- (see ties), history, end of its lease, wants (see wants); false where there is none.
local function lease_end(number, text)
  local s = text and string.sub(text, 1, 1) == 'p' and read_state(text)
  return s and call('ZSCORE', P .. 'leased:' .. s.queue, number)
end

local function add_rows(answer, numbers)
  local bodies = values(P .. 'body', numbers)
  local there, there_bodies = {}, {}
  for n = 1, #numbers do
    if bodies[n] then
      there[#there + 1] = numbers[n]
      there_bodies[#there] = bodies[n]
    end
  end
  local states, outcomes = values(P .. 'state', there), values(P .. 'outcome', there)
  local progress, messages = values(P .. 'progress', there), values(P .. 'message', there)
  local ties, histories = values(P .. 'ties', there), values(P .. 'history', there)
  local wants = values(P .. 'wants', there)
  for n = 1, #there do
    local at = #answer
    answer[at + 1], answer[at + 2], answer[at + 3] = there[n], there_bodies[n], states[n]
    answer[at + 4], answer[at + 5], answer[at + 6] = outcomes[n], progress[n], messages[n]
    answer[at + 7], answer[at + 8], answer[at + 9] = ties[n], histories[n], lease_end(there[n], states[n])
    answer[at + 10] = wants[n]
  end
end
