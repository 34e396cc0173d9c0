"""The model of costs against figures worked out by hand, and against itself."""

import contextlib
import io
import json
import re
import unittest

import cost

PRICES = json.loads(cost.PRICES.read_text())

# Clients, messages a second, and by hand: DynamoDB, Lambda, SNS publishes, SNS deliveries, Fargate, load balancer,
# together; traffic; SNS deliveries without packing; API Gateway; AppSync Events.
BY_HAND = [
    (10_000, 10, (16, 8, 13, 32, 58, 36), 163, 30, 32, 1_382, 1_375),
    (10_000, 100, (164, 13, 21, 50, 58, 53), 360, 376, 315, 11_032, 13_438),
    (100_000, 100, (164, 13, 21, 252, 288, 211), 950, 376, 1_577, 12_017, 13_753),
    (100_000, 1_000, (1_643, 13, 21, 252, 288, 429), 2_646, 3_683, 15_768, 108_517, 134_378),
    (1_000_000, 1_000, (1_643, 13, 21, 2_523, 2_884, 1_963), 9_046, 3_683, 157_680, 118_372, 137_532),
    (1_000_000, 10_000, (16_425, 63, 105, 12_614, 2_884, 9_620), 41_712, 25_302, 1_576_800, 1_083_374, 1_343_784),
]
BROADCAST_BY_HAND = [(10_000, 446, 3_683), (100_000, 3_812, 25_302), (1_000_000, 37_827, 218_044)]


def core(**load):
    return cost.core(PRICES, cost.Load(**load))


def run(*argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cost.main(list(argv))
    return status, out.getvalue(), err.getvalue()


class Figures(unittest.TestCase):
    def close(self, found, expected):
        self.assertLessEqual(abs(found - expected), max(1, 0.02 * expected), f"{found:.1f} is not about {expected}")

    def test_each_part_is_what_was_worked_out_by_hand(self):
        for clients, messages, parts, together, traffic, unpacked, gateway, appsync in BY_HAND:
            with self.subTest(clients=clients, messages=messages):
                load = cost.Load(clients=clients, messages=messages)
                found = cost.core(PRICES, load)
                for each, expected in zip(found.values(), parts, strict=True):
                    self.close(each, expected)
                self.close(sum(found.values()), together)
                self.close(cost.besides(PRICES, load)["Traffic to clients"], traffic)
                self.close(cost.sns_deliveries(PRICES, cost.Load(clients=clients, messages=messages, packed=False)), unpacked)
                others = list(cost.elsewhere(PRICES, load).values())
                self.close(others[0], gateway)
                self.close(others[1], appsync)

    def test_valkey_costs_nothing_unless_it_is_asked_for(self):
        without, with_two = (core(clients=10_000, messages=10, redis_nodes=nodes) for nodes in (0, 2))
        self.assertNotIn("ElastiCache for Valkey", without)
        self.close(with_two["ElastiCache for Valkey"], 37)
        self.assertEqual(sum(with_two.values()) - with_two["ElastiCache for Valkey"], sum(without.values()))

    def test_one_room_of_everybody_too(self):
        for clients, together, traffic in BROADCAST_BY_HAND:
            with self.subTest(clients=clients):
                load = cost.Load(clients=clients, messages=5, receivers=clients, shards=1)
                self.close(sum(cost.core(PRICES, load).values()), together)
                self.close(cost.besides(PRICES, load)["Traffic to clients"], traffic)

    def test_one_of_each_a_second_costs_what_it_costs(self):
        month = cost.SECONDS / 1e6
        self.close(100 * month * PRICES["dynamodb"]["write_million"], 164)
        self.close(100 * month * PRICES["sns"]["http_delivery_million"], 158)


class Model(unittest.TestCase):
    def test_packing_caps_what_sns_costs(self):
        few, many = core(clients=100_000, messages=100), core(clients=100_000, messages=1_000)
        self.assertEqual(few["SNS deliveries"], many["SNS deliveries"])

    def test_large_messages_count_by_the_kilobyte_and_by_the_chunk(self):
        small, large = core(clients=1_000, messages=1), core(clients=1_000, messages=1, message_bytes=100_000)
        self.assertAlmostEqual(large["DynamoDB writes"] / small["DynamoDB writes"], 98)
        self.assertAlmostEqual(large["SNS publishes"] / small["SNS publishes"], 2)

    def test_tiers_are_paid_for_part_by_part(self):
        tiers = [[10, 2], [20, 1], [None, 0.5]]
        for amount, price in [(0, 0), (10, 20), (15, 25), (40, 40)]:
            self.assertEqual(cost.tiered(tiers, amount), price)

    def test_rooms_are_audited_less_and_less_and_within_the_budget(self):
        self.assertEqual([cost.audits_within(s) for s in (1, 2, 6, 14, 30, 60, 90, 3_600)], [0, 1, 2, 3, 4, 5, 6, 123])
        load = cost.Load(clients=1_000_000, messages=1_000, audit_units=500)
        self.assertEqual(load.audits, 500 * load.nodes)

    def test_there_is_a_load_for_which_others_are_cheaper(self):
        quiet = cost.Load(clients=100, messages=0.1)
        together = sum(cost.core(PRICES, quiet).values())
        self.assertLess(cost.elsewhere(PRICES, quiet)["API Gateway WebSocket (without its Lambdas and tables)"], together)
        _, text, _ = run("--clients", "100", "--messages", "0.1")
        self.assertIn("Dearer than: API Gateway WebSocket", text)
        large = cost.Load(clients=1_000_000, messages=10_000)
        together = sum(cost.core(PRICES, large).values())
        self.assertLess(list(cost.elsewhere(PRICES, large).values())[2], together)


class Command(unittest.TestCase):
    def test_the_bill_names_its_prices_date(self):
        status, text, _ = run("--clients", "10000", "--messages", "5", "--broadcast")
        self.assertEqual(status, 0)
        self.assertIn(PRICES["date"], text)
        self.assertIn("5 messages a second to 10000 each", text)

    def test_without_arguments_an_example_and_how_to_change_it_are_printed(self):
        status, text, error = run()
        self.assertEqual((status, error), (0, ""))
        bill, advice = text.split("\nThis is an example.")
        self.assertEqual(bill, run(*cost.EXAMPLE)[1])
        calls = re.findall("make cost ARGS='([^']*)'", advice)
        self.assertEqual([run(*call.split())[0] for call in calls], [0, 0])
        self.assertIn("make cost ARGS=--help", advice)

    def test_few_clients_are_all_receivers(self):
        status, text, _ = run("--clients", "10", "--messages", "1")
        self.assertEqual(status, 0)
        self.assertIn("1 messages a second to 10 each", text)

    def test_a_load_that_cannot_be_is_refused_in_one_line(self):
        for argv in (["--clients", "0", "--messages", "1"], ["--clients", "10", "--messages", "1", "--receivers", "11"]):
            status, text, error = run(*argv)
            self.assertEqual((status, text), (2, ""))
            self.assertRegex(error, r"^cost: [^\n]+\n$")


if __name__ == "__main__":
    unittest.main()
